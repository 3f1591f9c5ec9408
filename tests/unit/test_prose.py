"""Plain English: words that no colleague uses do not come back, in code, messages or docs."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

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
    "is no (?!more|longer|less|larger|smaller|finer|better|worse|other)",
    "made of",
    "be it",
)
PATTERN = re.compile(r"\b(?:" + "|".join(BANNED) + r")(?=\W|$)", re.IGNORECASE)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "glossary.md")  # names the words that are not used


def prose(path: Path) -> Iterator[str]:
    """The comments and strings of a Python file."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.string


def occurrences(package: Path) -> list[str]:
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    return [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        for text in prose(path)
        for match in PATTERN.finditer(text)
    ]


PACKAGES = sorted(
    path for path in (ROOT / "src" / "calvaria").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.stem)
def test_the_code_uses_no_banned_words(package):
    assert occurrences(package) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_docs_use_no_banned_words(page):
    assert [match[0] for match in PATTERN.finditer(page.read_text(encoding="utf-8"))] == []
