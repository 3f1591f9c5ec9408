"""From a scan to a checked skull on the canonical grid.

==========  ==========================================================
examine     all of it for one scan
pose        how the head lies in the scan
resample    onto the canonical grid, and back
vault       a picture of the vault at the scan's own resolution
quality     what is wrong with a skull
matching    whether two skulls are of one person
==========  ==========================================================
"""

ACCEPTED = "ok"  # the verdict of a skull without a fault
