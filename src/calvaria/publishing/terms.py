"""The terms of a data set, and their compatibility with the licences of its sources."""

from dataclasses import dataclass

from calvaria.config import Config
from calvaria.errors import CalvariaError


class TermsError(CalvariaError):
    """The terms are incomplete or contradict each other; nothing was written."""


@dataclass(frozen=True)
class Terms:
    """Terms chosen by the authors. Licences are SPDX identifiers, such as CC-BY-NC-SA-4.0."""

    licence: str  # of the data set
    sources: dict[str, str]  # licence of every source that is read from files, by the source's name
    authors: tuple[str, ...]
    title: str
    version: str
    url: str | None  # of the published data set


def file_sources(config: Config) -> list[str]:
    """Return the sources with skulls of people: all except synthetic ones."""
    return [name for name, source in config.ingest.sources.items() if not source.synthetic]


def check_terms(config: Config, terms: Terms) -> None:
    """Check the licences, as far as their names state conditions.

    All data of a run count as adaptations of its sources, whatever the family. Hence a no-derivatives
    licence (ND) forbids publishing, and the Creative Commons conditions NC and SA are passed on.

    Raises:
        TermsError: if the licence of a source is missing or incompatible, or an unknown source is named.
    """
    needed = file_sources(config)
    missing = [name for name in needed if name not in terms.sources]
    if missing:
        raise TermsError(
            f"publishing requires the licence of every source; add "
            f"{' '.join(f'--source-licence {name}=SPDX' for name in missing)}, such as CC-BY-NC-SA-4.0"
        )
    unknown = [name for name in terms.sources if name not in needed]
    if unknown:
        raise TermsError(
            f"--source-licence {unknown[0]}: the run reads no such source from files; "
            f"it reads {', '.join(needed) or 'none'}"
        )
    for name, licence in terms.sources.items():
        if fault := _fault(licence, terms.licence):
            raise TermsError(f"--licence {terms.licence}: source {name} is {licence}, {fault}")


def _fault(source: str, licence: str) -> str | None:
    """Return why a data set adapted from this source may not have this licence, or None."""
    required = _clauses(source)
    if "ND" in required:
        return "which forbids publishing adaptations; do not publish this run"
    if "SA" in required and licence != source:
        return f"which requires the same licence; use --licence {source}"
    if "NC" in required and "NC" not in _clauses(licence):
        return "which forbids commercial use; use a licence that does so, too"
    return None


def _clauses(licence: str) -> set[str]:
    """Return the conditions in the name of a Creative Commons licence; none for another licence."""
    parts = licence.upper().split("-")
    return set(parts) & {"NC", "ND", "SA"} if parts[0] == "CC" else set()
