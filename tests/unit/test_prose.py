"""Plain English: unusual words stay out of code, messages and docs. `make check` runs this file."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FINE = "more|longer|less|larger|smaller|finer|better|worse|other|evidence|proof"  # after "is no"
BANNED = (
    "anew",
    "mend(?:s|ed|ing)?",
    "lest",
    "whoever",
    "whosoever",
    "thereby",
    "dear",
    "told",
    "of late",
    "of (?:the user's|one's|ones) own",
    "made of",
    "be it",
    "needless",
    "luck",
    "stands? for itself",
    "asked",
    "at hand",
    "believed",
    "hangs? on",
    f"(?<!there )is no (?!{FINE})",
    "made from",
    "said",
    "so many",
    "wanted",
)
KEYS = {'"said"', '"wanted"'}  # of JSON that other programs read
SOURCE = ROOT / "src" / "calvaria"
PACKAGES = sorted(path for path in SOURCE.iterdir() if path.suffix == ".py" or any(path.glob("*.py")))
PACKAGES += [ROOT / "benchmarks", ROOT / "tests"]
TEMPLATES = sorted(
    path for pattern in ("*.html", "*.md") for path in SOURCE.rglob(pattern) if "vendor" not in path.parts
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted(
    path
    for folder in ("workflow", "profiles")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".rst", ".smk", ".yaml")
)
PAGES.remove(ROOT / "docs" / "glossary.md")  # names the words that are not used
BANNED_WORDS = re.compile(rf"(?<!\w)(?:{'|'.join(BANNED)})(?:(?<=\W)|(?!\w))", re.IGNORECASE)


def prose(path: Path) -> Iterator[str]:
    """Yield the comments and strings of a Python file, each on one line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) and token.string not in KEYS:
            yield " ".join(token.string.split())


def occurrences(package: Path) -> list[str]:
    """Return every banned word in a package, with its file and the text around it."""
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    files = [path for path in files if path != Path(__file__)]
    return [
        f"{path.relative_to(ROOT)}: {match[0]!r} in {text[:80]}"
        for path in files
        for text in prose(path)
        for match in BANNED_WORDS.finditer(text)
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.stem)
def test_the_code_uses_no_banned_words(package):
    assert occurrences(package) == []


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: page.name)
def test_the_docs_use_no_banned_words(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [match[0] for match in BANNED_WORDS.finditer(text)] == []
