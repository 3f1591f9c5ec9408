"""The contracts of plugins, and the registry of their kinds.

========  =================================================================
section   base class of the sections of the config
compute   device, threads and precision, as in the config
costs     costs of plugins, for estimates
family    contract of augmentation families
recipe    contract of defect recipes
scan      objects that a source yields: entries, scans and their summaries
source    contract of sources of skulls
registry  every kind of family, recipe and source, built in or installed
========  =================================================================
"""
