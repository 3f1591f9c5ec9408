"""Training of all networks: one loop, on a CPU, a GPU or several, which can be stopped and resumed.

``device``      the device, and settings for reproducible results
``loop``        the networks and losses of a training (``Training``), and the loop
``checkpoint``  the loop's state on disk
``workers``     several processes that share every step's batch
``estimate``    the cost of a training, measured in a few of its steps
"""
