"""What comes with calvaria: the pretrained model, and the mean skull beside it."""

from pathlib import Path

import calvaria
from calvaria.errors import InputError


def pretrained() -> Path:
    """Its folder: in an installed package beside the code, in a checkout below ``data``.

    Raises:
        InputError: if it is in neither place.
    """
    package = Path(calvaria.__file__).parent
    for folder in (package / "pretrained", package.parents[1] / "data" / "pretrained"):
        if (folder / "model.json").is_file():
            return folder
    raise InputError(
        "this installation has no pretrained model; name one that calvaria export wrote: --model"
    )
