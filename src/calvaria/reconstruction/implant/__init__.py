"""From a predicted implant to one that can be printed.

=========  =================================================================
space      distances from bone and implant on a fine grid around the defect
fitting    a gap to the bone, and a way in from outside
mesh       a smooth watertight surface in patient coordinates
checks     what a surgeon or a printer would refuse
=========  =================================================================
"""
