"""Geometry of voxel grids.

===============  ================================================================
grid             a regular grid of isotropic voxels, and the labels of its volumes
orientation      array axes in the order and direction closest to RAS+
canonical        an array in that order, centred, and the inverse
nifti_frames     sform, qform and pixdim of a NIfTI header
grids            whether two grids are the same
resample         from one grid to another
blocks           occupied blocks of a volume
sampling         sub-samples of each target voxel that are bone
region           a mask that is set in one box of a large grid
components       connected components
overlap          Dice of masks
thresholds       the threshold that preserves a volume
signed_distance  depths below the surface of a mask
projection       directions of the vault as pixels
rotation         a rotation matrix from a vector
===============  ================================================================
"""
