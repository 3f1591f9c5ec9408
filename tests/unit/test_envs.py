"""pip, conda and the package require the same versions."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import yaml

from tests.conftest import ROOT


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "envs" / "constraints.txt").read_text().splitlines()
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def bounds(requirements: list[str]) -> dict[str, str]:
    """Return the lower bound of each package, which is the only condition of every requirement."""
    return {canonical(name): bound for name, bound in (line.split(">=") for line in requirements)}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]


def test_every_dependency_is_pinned():
    extras = [line for lines in project()["optional-dependencies"].values() for line in lines]
    required = bounds(project()["dependencies"] + extras)
    assert required.keys() <= pins().keys()
    for name, bound in required.items():
        assert numbers(bound) == numbers(pins()[name]), f"{name}: expected the pinned minor release"


def test_every_imported_package_is_declared():
    """Transitive dependencies may change."""
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    extras = [line for lines in project()["optional-dependencies"].values() for line in lines]
    declared = bounds(project()["dependencies"] + extras).keys()
    packages = packages_distributions()
    missing = {
        name
        for name in imported - sys.stdlib_module_names - {"calvaria"}
        if not any(canonical(package) in declared for package in packages.get(name, [name]))
    }
    assert missing == set()


def test_conda_has_the_versions_of_pip():
    conda = yaml.safe_load((ROOT / "envs" / "calvaria.yaml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    found = {canonical(name): version for name, version in (line.split("==") for line in pip)}
    # Snakemake runs outside the environments that it creates.
    expected = bounds(project()["dependencies"]).keys() - {"snakemake"}
    assert found == {name: pins()[name] for name in expected}
