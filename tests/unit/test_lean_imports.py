"""Single modules of a package are imported without the others, which can still be imported afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = {
    "__init__.py": "from . import large\nwhole = True\n",
    "large.py": "from parted.parts import small, other\n",
    "parts/__init__.py": "from .two import other\nfrom .one import small\nfrom .three import *\n",
    "parts/one.py": "from parted.parts import other\nimport parted\nsmall = 'small'\n"
    "def found_later(): return parted.whole\n",
    "parts/two.py": "other = 'other'\n",
    "parts/three.py": "third = 'third'\n",
}


@pytest.fixture
def parted(tmp_path) -> Path:
    """The folder of a package ``parted``."""
    for name, text in PACKAGE.items():
        path = tmp_path / "parted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(code: str, *folders: Path) -> str:
    """Return the output of code in a separate process in which warnings are errors."""
    paths = [*map(str, folders), str(ROOT / "src")]
    setup = f"import sys; sys.path[:0] = {paths}\nfrom calvaria.utils.lean_imports import without_init\n"
    command = [sys.executable, "-W", "error", "-c", setup + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_what_a_module_imports_is_loaded_and_then_all_of_the_same(parted):
    code = """
with without_init("parted"):
    from parted.parts.one import found_later, small
print(*sorted(name for name in sys.modules if name.startswith("parted")))
with without_init("parted"):
    from parted.parts import other
print(small, other, found_later())
import parted
print(parted.large.small, parted.parts.third, parted.parts.one.found_later is found_later)
print(type(parted).__name__, type(parted.__loader__).__name__)
"""
    lean, parts, whole, kind = run(code, parted).splitlines()
    assert lean == "parted.parts.one parted.parts.two"
    assert parts == "small other True"
    assert whole == "small third True"
    assert kind == "module SourceFileLoader"


def test_a_name_that_only_the_whole_package_has_is_refused(parted):
    (parted / "parted" / "parts" / "one.py").write_text("from parted import whole\n")
    code = """
try:
    with without_init("parted"):
        import parted.parts.one
except ImportError as error:
    print(error)
"""
    assert run(code, parted).startswith("cannot import name 'whole' from 'parted'")


def test_a_package_that_is_loaded_stays_as_it_is(parted):
    code = """
import parted
before = dict(sys.modules)
with without_init("parted"):
    from parted.parts.one import small
print(before == dict(sys.modules))
"""
    assert run(code, parted) == "True"


def test_monai_still_works_as_a_whole_after_parts_of_it():
    code = """
from calvaria.families.networks import autoencoders, denoiser
from calvaria.reconstruction.coarse import network
print({"monai", "pandas", "sklearn", "matplotlib"} & set(sys.modules))
import monai.bundle
from monai.networks.blocks import UnetResBlock
from monai.networks.nets import DiffusionModelUNet
from monai.networks.nets.autoencoderkl import Encoder
print(UnetResBlock is network.UnetResBlock, DiffusionModelUNet is denoiser.DiffusionModelUNet)
print(Encoder is autoencoders.Encoder, monai.networks.layers.factories.Act is monai.networks.layers.Act)
print(monai.transforms.Compose([])(3))
"""
    assert run(code).splitlines() == ["set()", "True True", "True True", "3"]
