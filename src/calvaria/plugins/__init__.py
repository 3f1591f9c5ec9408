"""The contracts of plugins, and the registry of their kinds.

========  =================================================================
section   base class of the sections of the config
compute   device, threads and precision, as the config has them
family    contract of augmentation families
registry  every kind of family, recipe and source, built in or installed
========  =================================================================
"""
