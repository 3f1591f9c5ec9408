"""From a predicted implant to a printable one.

=========  =================================================================
space      distances from bone and implant on a fine grid around the defect
fitting    a gap to the bone, and an insertion path from outside
mesh       a smooth watertight surface in patient coordinates
checks     printability and fit
=========  =================================================================
"""
