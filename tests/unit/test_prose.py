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
)
# A word, and the packages that still use it. A package leaves the list when it is clean; a test sees to that.
OLD = {
    "asked": {"defects", "families", "stages", "training", "utils"},
    "at hand": {"pipeline", "skull"},
    "believed": {"skull"},
    "hangs? on": {"defects", "pipeline"},
    f"(?<!there )is no (?!{FINE})": {"defects", "geometry", "pipeline", "skull", "sources", "utils"},
    "made from": {"pipeline", "skull"},
    "said": {"pipeline", "sources", "training"},
    "so many": {"config", "families", "pipeline", "plugins", "skull", "sources"},
    "wanted": {"config", "families", "reconstruction"},
}
SOURCE = ROOT / "src" / "calvaria"
PACKAGES = sorted(path for path in SOURCE.iterdir() if path.suffix == ".py" or any(path.glob("*.py")))
TEMPLATES = sorted(
    path for pattern in ("*.html", "*.md") for path in SOURCE.rglob(pattern) if "vendor" not in path.parts
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "glossary.md")  # names the words that are not used
GENERATED = {"commands.md", "config.md", "tables.md"}  # from the code, whose packages have exceptions
CUSTOM = {"own_defects.md", "own_family.md", "own_source.md", "publishing.md"}


def pattern(*words: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(words) + r")(?:(?<=\W)|(?!\w))", re.IGNORECASE)


def prose(path: Path) -> Iterator[str]:
    """The comments and strings of a Python file, each on one line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield " ".join(token.string.split())


def occurrences(package: Path, *words: str) -> list[str]:
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    return [
        f"{path.relative_to(ROOT)}: {match[0]!r} in {text[:80]}"
        for path in files
        for text in prose(path)
        for match in pattern(*words).finditer(text)
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.stem)
def test_the_code_uses_no_banned_words(package):
    old = [word for word, packages in OLD.items() if package.stem not in packages]
    assert occurrences(package, *BANNED, *old) == []


@pytest.mark.parametrize("word", OLD)
def test_a_package_that_no_longer_uses_a_word_loses_its_exception(word):
    clean = {name for name in OLD[word] if not occurrences(SOURCE / name, word)}
    assert clean == set(), f"remove them from OLD[{word!r}]"


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: page.name)
def test_the_docs_use_no_banned_words(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    words = BANNED if page.name in GENERATED | CUSTOM or page.name == "card.md" else (*BANNED, *OLD)
    assert [match[0] for match in pattern(*words).finditer(text)] == []
