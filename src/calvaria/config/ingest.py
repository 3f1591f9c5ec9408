"""The grid, the sources of skulls, and how people are split."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calvaria.geometry.grid import Grid as VoxelGrid
from calvaria.plugins.section import Name, Section


class Grid(Section):
    """The canonical grid in which every skull of the run stands."""

    shape: tuple[int, int, int] = (48, 56, 48)
    """Voxels along x (left to right), y (back to front) and z (bottom to top); multiples of 8."""
    spacing_mm: float = Field(3.75, gt=0)
    """Edge length of the isotropic voxels."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if any(n <= 0 or n % 8 for n in self.shape):
            raise ValueError(f"grid.shape must hold positive multiples of 8, got {list(self.shape)}")
        return self

    def voxels(self) -> VoxelGrid:
        return VoxelGrid(self.shape, self.spacing_mm)


class PhantomSource(Section):
    """Procedural skulls from the run's seed; needs no data."""

    kind: Literal["phantom"]
    """Which source: procedural phantoms."""
    count: int = Field(24, ge=1)
    """How many different people to make."""
    spacing_mm: float = Field(2.0, gt=0)
    """Voxel size in which the phantoms are built before they are conformed to the grid."""


class Files(Section):
    """What all sources share that read files."""

    path: Path
    """The folder of the data set; relative to the working directory."""
    limit: int | None = Field(None, ge=1)
    """Take only the first so many skulls in the order of their ids; null takes all."""


class FolderSource(Files):
    """A folder of masks or label volumes, NIfTI, NRRD or MetaImage: 0 background, 1 bone, 2 implant."""

    kind: Literal["folder"]
    """Which source: a folder of volumes."""
    pattern: str = "*"
    """Which files to take; a skull's id is its name without ending, or its path where names are equal."""
    person: str | None = None
    """Regular expression for skull ids whose first group is the person; null takes each file as another."""


class SkullfixSource(Files):
    """SkullFix, also AutoImplant 2020: complete_skull/, defective_skull/ and implant/ with NNN.nrrd each."""

    kind: Literal["skullfix"]
    """Which source: SkullFix; path is training_set or the folder above it."""


class SkullbreakSource(Files):
    """SkullBreak: complete_skull/NNN.nrrd; defective_skull/ and implant/ with a folder per defect type."""

    kind: Literal["skullbreak"]
    """Which source: SkullBreak."""


class Mug500Source(Files):
    """MUG500+: healthy skulls A0001/ and craniotomies B0001/ whose implants are STL meshes."""

    kind: Literal["mug500"]
    """Which source: MUG500+."""


class CtSource(Files):
    """Head CTs in Hounsfield units: NIfTI, NRRD or MetaImage files, or a folder of DICOM slices for each."""

    kind: Literal["ct"]
    """Which source: head CTs."""
    pattern: str = "*"
    """Which files or DICOM folders to take; ids are names without ending, or paths where names are equal."""
    person: str | None = None
    """Regular expression for skull ids whose first group is the person; null takes each CT as another."""
    series: str | None = None
    """Number, UID or part of the description of the DICOM series; null takes the thinnest sharp one."""
    threshold_hu: float = Field(300.0, gt=-200, lt=1500)
    """Bone is what is at least so dense, in Hounsfield units."""


Source = Annotated[
    PhantomSource | FolderSource | SkullfixSource | SkullbreakSource | Mug500Source | CtSource,
    Field(discriminator="kind"),
]


class Ingest(Section):
    """Reads skulls from their sources, checks them and conforms them to the grid."""

    sources: dict[Name, Source] = Field(min_length=1)
    """Where the real skulls come from, by name; a skull's id is the source's name, a slash, its own id."""
    top_margin_mm: float = Field(10.0, ge=0)
    """Free space between the top of the vault and the top of the box, for a head of average build."""
    strict: bool = False
    """Whether a skull that fails a check stops the run; else it is left out, loudly."""
    accept: tuple[str, ...] = ()
    """Doubtful skulls to use nevertheless, by ids or patterns as of file names, such as `clinic/*`."""
    shard_size: int = Field(12, ge=1)
    """Skulls per shard; one job makes one shard."""


class People(Section):
    """Finds scans of the same person, so that no head is trained on and tested on."""

    same_mm: float = Field(0.55, ge=0)
    """Two skulls are one person's if their vaults, laid onto each other, differ by less than this."""


class Split(Section):
    """Divides the people, never their files, into training, validation and test."""

    validation: float = Field(0.15, gt=0, lt=1)
    """Fraction of the people in the validation cohort."""
    test: float = Field(0.2, gt=0, lt=1)
    """Fraction of the people in the test cohort."""

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        if self.validation + self.test >= 0.9:
            raise ValueError(
                "split.validation + split.test must stay below 0.9, or nothing is left to train on"
            )
        return self
