"""The contracts of plugins, and the registry of their kinds.

========  =================================================================
section   base class of the sections of the config
registry  every kind of family, recipe and source, built in or installed
========  =================================================================
"""
