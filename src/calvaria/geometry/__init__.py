"""Geometry of voxel grids, for every part of the package.

===========  =====================================================
orientation  array axes in the order and direction closest to RAS+
canonical    an array in that order, centred, and the way back
===========  =====================================================
"""
