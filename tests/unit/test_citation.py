"""Citation file, Zenodo metadata and changelog state the version of the package."""

import json
import re

import yaml

from calvaria import __version__
from tests.conftest import ROOT


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    assert citation["version"] == zenodo["version"] == __version__
    assert citation["title"] == zenodo["title"]
    assert citation["license"] == zenodo["license"]
    number = re.escape(__version__)
    assert re.search(rf"becomes\s+version {number}\.|## \[{number}\]", (ROOT / "CHANGELOG.md").read_text())
