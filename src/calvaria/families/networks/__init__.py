"""The generative networks: MONAI's, in thin models that know how a skull goes in and out.

Every network only has to learn how a skull differs from what linear algebra says of the population.
Every volume is (n, inputs, x, y, z) float32, the fields of ``families/representation``.
"""

GROUPS = 8  # of the group normalisations
