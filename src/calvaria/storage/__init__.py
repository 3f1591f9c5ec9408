"""Stores of volumes, tables, arrays and single files, and the paths of a run."""
