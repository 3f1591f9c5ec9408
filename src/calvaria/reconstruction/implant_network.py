"""Import path named by MONAI bundles that earlier versions exported; new ones name `export.ensemble`."""

from calvaria.reconstruction.export.ensemble import ImplantNetwork, bone_on_grid, implant_network, input_files

__all__ = ["ImplantNetwork", "bone_on_grid", "implant_network", "input_files"]
