"""Import path in MONAI bundles exported by earlier versions; new bundles use `export.ensemble`."""

from calvaria.reconstruction.export.ensemble import ImplantNetwork, bone_on_grid, implant_network, input_files

__all__ = ["ImplantNetwork", "bone_on_grid", "implant_network", "input_files"]
