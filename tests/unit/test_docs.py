"""Commands in docs, templates and messages exist, with their options, targets, paths and config keys."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.exceptions import TyperException
from typer.main import get_command

from calvaria.cli import app
from calvaria.config import parse
from tests.conftest import ROOT
from tests.documents import PAGES, blocks, commands

# Commands of other projects; their arguments are checked as paths.
OTHERS = {
    "cd": "goes into a folder that a command has made",
    "cp": "copies a file of the project",
    "export": "sets PYTHONPATH",
    "git": "fetches the project, from where the reader knows",
    "ln": "links the reader's data",
    "pip": "installs the project with an extra",
    "source": "activates the environment that make has made",
}
# Paths that a command creates, that belong to the reader, or that are examples.
NOT_OF_THE_PROJECT = re.compile(r"^(\.venv|results|site|logs|/|data/(?!pretrained|README))|mine|again")
OF_THE_PROJECT = re.compile(
    r"^(benchmarks|data|docs|envs|profiles|src|tests|workflow)/|^[\w.]+\.(yaml|md|toml|cff)$"
)
GROUPS = get_command(app)


def check(words: list[str]) -> None:
    """Raise an error if a command is invalid."""
    program, *arguments = words
    if program == "calvaria":
        name, *rest = arguments
        if rest == ["--help"] or name.startswith("--"):
            return
        GROUPS.commands[name].make_context(name, rest)
    elif program == "snakemake":
        from snakemake.cli import get_argument_parser

        options = get_argument_parser().parse_args(arguments)
        # Words after --configfile are further configs, until the next option.
        assert all(str(file).endswith(".yaml") for file in options.configfile or ()), options.configfile
    elif program == "make":
        make = shutil.which("make")
        assert make is not None, "the README requires make"
        subprocess.run([make, "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif program == "python":
        assert arguments[0] == "-m" or (ROOT / arguments[0]).is_file(), arguments
    else:
        assert program in OTHERS, f"{program}: neither of the project nor among the exceptions of this test"
    for word in words:
        check_path(word)


def check_path(word: str, page: Path = ROOT / "README.md") -> None:
    """Raise an error if a word looks like a project path but does not exist relative to root or page."""
    path = word.strip("\"'").split("::")[0].rstrip("/")
    if not OF_THE_PROJECT.match(path) or NOT_OF_THE_PROJECT.match(path):
        return
    pattern = re.sub(r"\b[A-Z]{3,}\b(?!\.md)|\{[^}]*\}", "*", path)  # STAGE, {shape,fidelity}
    assert any(ROOT.glob(pattern)) or (page.parent / path).exists(), f"{path}: no such file"


@pytest.mark.parametrize(
    ("where", "words"), commands(), ids=lambda value: value if isinstance(value, str) else None
)
def test_a_command_exists_with_these_options(where, words):
    check(words)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("calvaria fit --run results/demo --famly vae", TyperException),
        ("calvaria fit --run results/demo", TyperException),
        ("calvaria score --prediction p.nrrd extra --reference r --defective d", TyperException),
        ("calvaria verify results/demo --recompute some", TyperException),
        ("calvaria fitt", KeyError),
        ("snakemake --cores all --no-such-option", SystemExit),
        ("snakemake --cores all --configfile workflow/presets/skulfix.yaml", AssertionError),
        ("snakemake --cores all --configfile config.yaml results/demo/report.html", AssertionError),
        ("make demos", subprocess.CalledProcessError),
        ("wget data", AssertionError),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(command, error):
    with pytest.raises(error):
        check(command.split())


ENGLISH = {"and", "in"}  # words of sentences with a name after them
PRINTED = re.compile(r"\bcalvaria ([a-z][a-z-]*)((?: (?:--[a-z-]+|[A-Z]{3,}\b|\{\}))*)")
SNAKEMAKE = re.compile(r"\bsnakemake( --[a-z-]+[^`\"';.]*)")


def texts() -> Iterator[tuple[str, str]]:
    """Yield every string and template of the package with its file."""
    for path in sorted((ROOT / "src" / "calvaria").rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.suffix == ".py":
            yield from ((name, text) for text in strings(ast.parse(path.read_bytes())))
        elif path.suffix in (".html", ".md") and "vendor" not in path.parts:
            yield name, re.sub(r"\{\{.*?\}\}", "{}", path.read_text(encoding="utf-8"))


def printed(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """Return every command in a string or template: its file, and the groups of the pattern."""
    return [(name, *match.groups()) for name, text in texts() for match in pattern.finditer(text)]


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module, with {} for the values of f-strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_a_command_that_the_package_prints_exists_with_these_options():
    wrong = []
    for where, name, rest in printed(PRINTED):
        command = GROUPS.commands.get(name)
        if (command is None and not ("--" in rest or "{}" in rest)) or name in ENGLISH:
            continue  # a sentence about calvaria
        options = {option for parameter in command.params for option in parameter.opts} if command else set()
        named = set(re.findall(r"--[a-z-]+", rest))
        arguments = len(rest.split()) - len(named)
        if command is None or not named <= options or (not named and arguments > len(command.params)):
            wrong.append(f"{where}: calvaria {name}{rest}")
    assert wrong == []
    assert ("src/calvaria/report/page.py", "verify", " {}") in printed(PRINTED)


def test_a_snakemake_command_that_the_package_prints_has_existing_options():
    from snakemake.cli import get_argument_parser

    known = {option for action in get_argument_parser()._actions for option in action.option_strings}
    found = printed(SNAKEMAKE)
    assert any(where == "src/calvaria/report/page.py" for where, _ in found)
    assert [one for one in found if not set(re.findall(r"--[a-z-]+", one[1])) <= known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_paths_that_a_page_names_exist(page: Path):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for word in re.findall(r"`([^`\s]+)`", text):
        check_path(word, page)
    for link in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", text):
        assert (page.parent / link).exists(), f"{link}: no such file"


# Plugins defined by a page; tests/unit/test_packages.py and tests/end_to_end/test_docs.py install them.
ADDED = ("kind: arrays", "kind: halfway")


@pytest.mark.parametrize(
    "block", [block for block in blocks("yaml") if not any(kind in block.text for kind in ADDED)], ids=str
)
def test_a_piece_of_config_fits_the_demos(block):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    parse(merged(config, yaml.safe_load(block.text)), str(block))


def merged(config: dict, piece: dict) -> dict:
    """Merge a fragment into the config; sources, recipes and the like are added to existing ones."""
    both = dict(config)
    for key, value in piece.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and key in both else value
    return both
