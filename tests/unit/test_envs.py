"""pip, conda and the package name the same versions."""

import re
import tomllib

import yaml

from tests.conftest import ROOT


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "envs" / "constraints.txt").read_text().splitlines()
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_is_pinned():
    extras = [name for names in project()["optional-dependencies"].values() for name in names]
    assert {canonical(name) for name in project()["dependencies"] + extras} <= pins().keys()


def test_conda_has_the_versions_of_pip():
    conda = yaml.safe_load((ROOT / "envs" / "calvaria.yaml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    found = {canonical(name): version for name, version in (line.split("==") for line in pip)}
    # Snakemake itself runs outside of the environments that it makes.
    wanted = {canonical(name) for name in project()["dependencies"]} - {"snakemake"}
    assert found == {name: pins()[name] for name in wanted}
