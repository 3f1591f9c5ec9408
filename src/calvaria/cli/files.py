"""Commands for single files outside of a run."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from calvaria.cli.options import CHECK_FAILED, NO_DEFECT
from calvaria.errors import CalvariaError
from calvaria.utils.interruption import nothing_written_on_interrupt

logger = logging.getLogger(__name__)

app = typer.Typer()
command = app.command(rich_help_panel="Your own files")


@command
@nothing_written_on_interrupt()
def score(
    prediction: Annotated[
        Path, typer.Option(help="Mask of the predicted implant: NIfTI, NRRD or MetaImage.")
    ],
    reference: Annotated[Path, typer.Option(help="Mask of the reference implant, on the same grid.")],
    defective: Annotated[Path, typer.Option(help="Mask of the defective skull, on the same grid.")],
) -> None:
    """Score a predicted implant and print one JSON object.

    Distances are in mm; null is infinity, for an empty prediction. Axes may be stored in another order than
    in the reference. Nothing is resampled: grids that differ by more than a tenth of a voxel at a corner are
    an error.

    Example: calvaria score --prediction p.nrrd --reference r.nrrd --defective d.nrrd
    """
    from calvaria.metrics.score_files import score_files

    typer.echo(json.dumps(score_files(prediction, reference, defective), allow_nan=False))


@command
@nothing_written_on_interrupt()
def reconstruct(
    scans: Annotated[
        list[Path],
        typer.Argument(
            help="CT, folder of DICOM slices, or bone mask; with --out-dir several, or folders of them."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Implant as a mask on the input's grid: .nii.gz or .nii.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option(help="Folder for the implants of several scans, and cases.csv.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder written by calvaria export; by default the pretrained model.")
    ] = None,
    stl: Annotated[Path | None, typer.Option(help="With --out: implant as a mesh: .stl or .ply.")] = None,
    checks: Annotated[
        Path | None, typer.Option("--json", help="With --out: input, findings and checks: .json.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="With --out: skull and implant from four sides, and warnings: .png."),
    ] = None,
    gap_mm: Annotated[float, typer.Option(help="Gap between mesh and bone, mm.", min=0)] = 0.5,
    thickness_mm: Annotated[float, typer.Option(help="Minimum thickness that passes, mm.", min=0)] = 2.0,
    threshold_hu: Annotated[float, typer.Option(help="Bone threshold of a CT, HU.")] = 300.0,
    series: Annotated[
        str | None, typer.Option(help="DICOM series: number, UID or part of the description.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="With --out-dir: number of processes; 1 by default.", min=1)
    ] = None,
) -> None:
    """Design the implant for one skull, or for many. For research only; not a medical device.

    Standard error reports the input and warns of unusual findings; the result of every check is printed.
    Exit code 0: the implant passes every check; 1: error, nothing was written; 3: no defect detected, nothing
    was written; 4: the implant was written but fails a check.

    With --out-dir, every scan has a folder with mask, mesh, checks and picture, and a row in cases.csv. A
    scan that fails does not stop the others. The same command again does only what is missing or has
    changed. The exit code is the first of 1, 4 and 3 that is the code of any scan, otherwise 0.

    Example: calvaria reconstruct ct.nii.gz --out implant.nii.gz --stl implant.stl --json checks.json
    """
    if (out is None) == (out_dir is None):
        raise CalvariaError(
            f"reconstruct: expected one of --out FILE and --out-dir DIR; got {'both' if out else 'neither'}"
        )
    of_one = {"--stl": stl, "--json": checks, "--picture": picture}
    unused = {"--jobs": jobs} if out else of_one
    if given := [name for name, value in unused.items() if value is not None]:
        with_option, other = ("--out", "--out-dir") if out else ("--out-dir", "--out")
        raise CalvariaError(
            f"reconstruct: {' '.join(given)} with {with_option}; expected {other}, or leave it out"
        )
    settings: dict[str, Any] = {
        "gap_mm": gap_mm,
        "least_thickness_mm": thickness_mm,
        "threshold_hu": threshold_hu,
        "series": series,
    }
    if out_dir is not None:
        _reconstruct_many(scans, out_dir, model, settings, jobs or 1)
        return
    assert out is not None
    if len(scans) > 1:
        raise CalvariaError(f"reconstruct: --out with {len(scans)} scans, expected one; use --out-dir DIR")

    from calvaria.reconstruction.reconstruct import NoDefectError, Options, reconstruct
    from calvaria.storage.shipped import pretrained

    try:
        results = reconstruct(
            scans[0],
            model or pretrained(),
            Options(out, stl, checks, picture=picture, **settings),
        )
    except NoDefectError as error:
        logger.error("calvaria: %s", error)
        raise typer.Exit(NO_DEFECT) from None
    typer.echo(json.dumps(results, indent=2))
    if not results["passed"]:
        raise typer.Exit(CHECK_FAILED)


def _reconstruct_many(
    scans: list[Path], out: Path, model: Path | None, settings: dict[str, Any], jobs: int
) -> None:
    from calvaria.reconstruction.many.record import Settings
    from calvaria.reconstruction.many.run import reconstruct_many, summary
    from calvaria.reconstruction.many.table import TABLE, exit_code
    from calvaria.storage.shipped import pretrained

    rows = reconstruct_many(scans, out, model or pretrained(), Settings(**settings), jobs)
    typer.echo(f"{out / TABLE}: {summary(rows)}")
    raise typer.Exit(exit_code(rows))


@command
@nothing_written_on_interrupt()
def extract(
    store: Annotated[
        Path,
        typer.Argument(
            help="Store of a run or of a published data set, such as results/demo/inject/test.zarr."
        ),
    ],
    index: Annotated[int, typer.Argument(help="Index of the volume in the store's rows.", min=0)],
    out: Annotated[Path, typer.Option(help="Output file: .nii.gz, .nii, .seg.nrrd or .nrrd.")],
    view: Annotated[
        Literal["case", "skull", "defective", "implant"],
        typer.Option(help="Labels (0 background, 1 remaining bone, 2 implant), or one structure as a mask."),
    ] = "case",
    scan: Annotated[bool, typer.Option("--scan", help="Resample to the native grid of its scan.")] = False,
) -> None:
    """Write one volume of a store as a file for 3D Slicer, ITK-SNAP, napari and others.

    The volume is on the canonical grid, in RAS+ millimetres of the Frankfurt plane. With --scan it is
    smoothly resampled to the native grid of its scan; synthetic skulls have no scan.

    Example: calvaria extract results/demo/inject/test.zarr 0 --view implant --out implant.nii.gz
    """
    from calvaria.storage.extract import View
    from calvaria.storage.extract import extract as command

    shape = command(store, index, out, View(view), scan)
    typer.echo(f"{out}: {' x '.join(str(n) for n in shape)} voxels, {view} of volume {index} of {store}")


@command
@nothing_written_on_interrupt()
def convert(
    to: Annotated[Literal["monai", "onnx"], typer.Option(help="MONAI bundle or ONNX file.")],
    out: Annotated[Path, typer.Option(help="New folder for the bundle, or .onnx file.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder written by calvaria export; by default the pretrained model.")
    ] = None,
) -> None:
    """Convert a model's coarse networks for other programs.

    Input is the remaining bone on the canonical grid; pose estimation and the surfaces of reconstruct are not
    included.

    Example: calvaria convert --to monai --out bundle
    """
    from calvaria.storage.shipped import pretrained

    if to == "onnx":
        from calvaria.reconstruction.export.onnx import write_onnx

        write_onnx(model or pretrained(), out)
        typer.echo(f"{out}: ONNX file")
    else:
        from calvaria.reconstruction.export.monai_bundle import write_bundle

        write_bundle(model or pretrained(), out)
        typer.echo(f"{out}: MONAI bundle")
