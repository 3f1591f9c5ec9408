"""Draw the parameters of a defect; nothing is cut here.

A recipe places its defect by a ray from the vault's centre to the outer surface of the skull, and sizes
it in millimetres. Directions: azimuth 0 is the patient's right (+x), 90 the front (+y), -90 the back;
elevation 90 is the vertex. Each kind is a module with a class derived from `calvaria.plugins.recipe.Recipe`;
installed packages may provide more. The config imports these modules, so they import neither heavy packages
nor the config.
"""
