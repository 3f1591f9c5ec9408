"""Generative networks: MONAI's, wrapped for the fields of skulls.

Every network learns residuals to a linear model (mean and principal components) of the population. Volumes
are (n, inputs, x, y, z) float32, the fields of ``families/representation``.
"""

GROUPS = 8  # of group normalisation
