"""Sources of real skulls. A source lists its skulls cheaply and reads one scan at a time.

==========  ================================================================================
phantom     procedural skulls from the run's seed
folder      binary or label volumes, NIfTI, NRRD or MetaImage, in one folder
skullfix    SkullFix / AutoImplant 2020: complete and defective skull and implant
skullbreak  SkullBreak: the same with five defects for every skull
mug500      MUG500+: healthy skulls, and craniotomies with implants as meshes
ct          head CTs in Hounsfield units: NIfTI, NRRD, MetaImage or DICOM
==========  ================================================================================

Each is a module, or package, with a class derived from `calvaria.plugins.source.Source`; installed packages
may provide more. The config imports these modules, so they import neither heavy packages nor the config.
"""

from collections.abc import Mapping

from calvaria.errors import InputError
from calvaria.plugins.source import Entry, Scan, Source

__all__ = ["Entry", "Scan", "Source", "catalogue", "read"]


def catalogue(sources: Mapping[str, Source]) -> list[Entry]:
    """Return all skulls of all sources in a fixed order; opens no volume.

    Raises:
        InputError: naming every source without usable skulls.
    """
    entries: list[Entry] = []
    errors = []
    for name, source in sources.items():
        try:
            entries += source.entries(name)
        except InputError as error:
            errors.append(str(error))
    if errors:
        raise InputError("\n".join(errors))
    return entries


def read(sources: Mapping[str, Source], entry: Entry, seed: int) -> Scan:
    """Read, or generate, the skull of an entry of the catalogue.

    Raises:
        InputError: naming the file, its error and the remedy.
    """
    if entry.fault is not None:
        raise InputError(entry.fault)
    return sources[entry.source].read(entry, seed)
