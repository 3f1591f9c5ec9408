"""How every network learns: one loop for all, on a CPU, a GPU or several, that can be stopped and resumed.

``device``      where it runs, and what makes its results repeat
``loop``        what a family trains (``Training``), and the loop
``checkpoint``  the loop's state on disk
``workers``     several processes that share every step's batch
``estimate``    what a training will take, from a few of its steps
"""
