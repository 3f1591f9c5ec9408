"""Files shipped with calvaria: the pretrained model and the mean skull."""

from pathlib import Path

import calvaria
from calvaria.errors import InputError


def pretrained() -> Path:
    """Return the folder of the pretrained model: in the installed package, or in ``data`` of a checkout.

    Raises:
        InputError: if there is none.
    """
    package = Path(calvaria.__file__).parent
    for folder in (package / "pretrained", package.parents[1] / "data" / "pretrained"):
        if (folder / "model.json").is_file():
            return folder
    raise InputError(
        "this installation has no pretrained model; pass the folder of an exported one with --model"
    )
