"""Commands for files outside of a run."""

import json
import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from calvaria.cli.options import NO_DEFECT, NOT_WELL
from calvaria.utils.interruption import keeps_nothing

logger = logging.getLogger(__name__)

app = typer.Typer()
command = app.command(rich_help_panel="Your own files")


@command
@keeps_nothing()
def score(
    prediction: Annotated[
        Path, typer.Option(help="Mask of the predicted implant: NIfTI, NRRD or MetaImage.")
    ],
    reference: Annotated[Path, typer.Option(help="Mask of the real implant, on the same grid.")],
    defective: Annotated[Path, typer.Option(help="Mask of the defective skull, on the same grid.")],
) -> None:
    """Score one predicted implant: prints one JSON object.

    Distances are in mm; null stands for an infinite one, as JSON has none: that of an empty prediction.
    Axes may be stored in another order than the reference's. Files on another grid, by more than a tenth of a
    voxel at a corner, are an error: nothing is resampled.

    Example: calvaria score --prediction p.nrrd --reference r.nrrd --defective d.nrrd
    """
    from calvaria.metrics.score_files import score_files

    typer.echo(json.dumps(score_files(prediction, reference, defective), allow_nan=False))


@command
@keeps_nothing()
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="A CT, a folder of DICOM slices, or a mask of bone.")],
    out: Annotated[Path, typer.Option(help="The implant as a mask on the input's grid: .nii.gz or .nii.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder that calvaria export wrote; if none, the pretrained model.")
    ] = None,
    stl: Annotated[
        Path | None, typer.Option(help="The implant as a mesh to be printed: .stl or .ply.")
    ] = None,
    checks: Annotated[
        Path | None, typer.Option("--json", help="What was read, found and checked: .json.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Skull and implant from four sides, with the warnings: .png.")
    ] = None,
    gap_mm: Annotated[float, typer.Option(help="Gap between mesh and bone.", min=0)] = 0.5,
    thickness_mm: Annotated[float, typer.Option(help="Least thickness that passes.", min=0)] = 2.0,
    threshold_hu: Annotated[float, typer.Option(help="Least density of bone in a CT.")] = 300.0,
    series: Annotated[
        str | None, typer.Option(help="DICOM series: number, UID or part of the description.")
    ] = None,
) -> None:
    """Design the implant for one skull. For research; not a medical device.

    Standard error says what was read, and warns of what is unusual about the skull. The verdict of every
    check is printed. Exit code 0: an implant that passes them all; 1: an error, nothing was written; 3: no
    defect found, nothing was written; 4: an implant that fails a check.

    Example: calvaria reconstruct ct.nii.gz --out implant.nii.gz --stl implant.stl --json checks.json
    """
    from calvaria.reconstruction.reconstruct import NoDefectError, Options, reconstruct
    from calvaria.storage.shipped import pretrained

    try:
        found = reconstruct(
            scan,
            model or pretrained(),
            Options(out, stl, checks, gap_mm, thickness_mm, threshold_hu, series, picture),
        )
    except NoDefectError as error:
        logger.error("calvaria: %s", error)
        raise typer.Exit(NO_DEFECT) from None
    typer.echo(json.dumps(found, indent=2))
    if not found["passed"]:
        raise typer.Exit(NOT_WELL)


@command
@keeps_nothing()
def extract(
    store: Annotated[
        Path,
        typer.Argument(help="A store of a run or a published one, such as results/demo/inject/test.zarr."),
    ],
    index: Annotated[int, typer.Argument(help="Which volume: its index in the store's rows.", min=0)],
    out: Annotated[Path, typer.Option(help="File to be written: .nii.gz, .nii, .seg.nrrd or .nrrd.")],
    view: Annotated[
        Literal["case", "skull", "defective", "implant"],
        typer.Option(help="Labels 0 background, 1 remaining bone, 2 implant; or one of them as a mask."),
    ] = "case",
    scan: Annotated[bool, typer.Option("--scan", help="On the grid of the scan that it came from.")] = False,
) -> None:
    """Write one volume of a store as a file for 3D Slicer, ITK-SNAP, napari and others.

    It lies on the run's grid, in RAS+ millimetres of the Frankfurt plane. With --scan it is put back onto its
    scan, smoothed; synthetic skulls have none.

    Example: calvaria extract results/demo/inject/test.zarr 0 --view implant --out implant.nii.gz
    """
    from calvaria.storage.extract import View
    from calvaria.storage.extract import extract as command

    shape = command(store, index, out, View(view), scan)
    typer.echo(f"{out}: {' x '.join(str(n) for n in shape)} voxels, {view} of volume {index} of {store}")


@command
@keeps_nothing()
def convert(
    to: Annotated[Literal["monai", "onnx"], typer.Option(help="A MONAI bundle, or an ONNX file.")],
    out: Annotated[Path, typer.Option(help="Folder to be made for the bundle; or a file, .onnx.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder that calvaria export wrote; if none, the pretrained model.")
    ] = None,
) -> None:
    """Write a model's networks of the coarse grid for other programs.

    They take the remaining bone on the canonical grid. What reconstruct uses besides, the head's pose and the
    network of the fine grid, is no part of it.

    Example: calvaria convert --to monai --out bundle
    """
    from calvaria.storage.shipped import pretrained

    if to == "onnx":
        from calvaria.reconstruction.export.onnx import write_onnx

        write_onnx(model or pretrained(), out)
        typer.echo(f"{out}: an ONNX file")
    else:
        from calvaria.reconstruction.export.monai_bundle import write_bundle

        write_bundle(model or pretrained(), out)
        typer.echo(f"{out}: a MONAI bundle")
