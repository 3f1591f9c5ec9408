"""Fenced blocks of the documentation, and the commands in them."""

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "data" / "README.md",
    ROOT / "data" / "pretrained" / "README.md",
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *(page for page in [ROOT / "CONTRIBUTING.md"] if page.is_file()),
)
FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}((?:calvaria|snakemake|make) .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """Name of the file that the block represents, if its first line is a comment with a file name."""
        named = re.match(r"# (\S+\.py)\n", self.text)
        return named[1] if named else None

    def commands(self) -> list[list[str]]:
        """Return the words of every command, if it is a block of commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(*languages: str, pages: tuple[Path, ...] = PAGES) -> list[Block]:
    """Return the blocks in these languages, in reading order."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            indent, language, body = match.groups()
            line = text.count("\n", 0, match.start()) + 1
            unindented = "".join(part.removeprefix(indent) for part in body.splitlines(keepends=True))
            found.append(Block(page, line, language, unindented))
    return [block for block in found if block.language in languages]


def commands(pages: tuple[Path, ...] = PAGES) -> list[tuple[str, list[str]]]:
    """Return every command of sh blocks and indented examples: its location and its words."""
    found = [(str(block), words) for block in blocks("sh", pages=pages) for words in block.commands()]
    for page in pages:
        for match in INDENTED.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
            found.append((str(page.relative_to(ROOT)), shlex.split(match[1], comments=True)))
    return found


def install(page: Path, folder: Path) -> None:
    """Write the package of a page, a module and a pyproject.toml, into a folder of sys.path, as pip would."""
    module = next(block for block in blocks("python", pages=(page,)) if block.file)
    (folder / str(module.file)).write_text(module.text)
    project = tomllib.loads(blocks("toml", pages=(page,))[0].text)["project"]
    about = folder / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
