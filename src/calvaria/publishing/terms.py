"""Under which terms a data set is published, and whether those of its sources allow that."""

from dataclasses import dataclass

from calvaria.config import Config
from calvaria.errors import CalvariaError


class TermsError(CalvariaError):
    """The terms are incomplete or contradict each other; nothing was written."""


@dataclass(frozen=True)
class Terms:
    """What only people can know of a data set. Licences are SPDX identifiers, such as CC-BY-NC-SA-4.0."""

    licence: str  # of what is published
    sources: dict[str, str]  # the licence of every source that is read from files, by the source's name
    authors: tuple[str, ...]
    title: str
    version: str
    url: str | None  # where it will be found


def file_sources(config: Config) -> list[str]:
    """The sources that are people's skulls: all but the phantoms, which the run made itself."""
    return [name for name, source in config.ingest.sources.items() if not source.synthetic]


def check_terms(config: Config, terms: Terms) -> None:
    """Compares the licences, as far as their names tell what they ask for.

    What a run makes from its sources is taken for an adaptation of them, whatever the family. So a licence
    without derivatives (ND) forbids it, and what Creative Commons' others ask for (NC, SA) is passed on.

    Raises:
        TermsError: if a source's licence is not named or forbids this, or an unknown source is named.
    """
    needed = file_sources(config)
    missing = [name for name in needed if name not in terms.sources]
    if missing:
        raise TermsError(
            f"publishing needs the licence of every source; say it: "
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
    """Why something adapted from this source may not have this licence."""
    asks = _clauses(source)
    if "ND" in asks:
        return "which forbids to pass on what is made from it; publish nothing of this run"
    if "SA" in asks and licence != source:
        return f"which asks for the same licence; take --licence {source}"
    if "NC" in asks and "NC" not in _clauses(licence):
        return "which forbids commercial use; take a licence that does too"
    return None


def _clauses(licence: str) -> set[str]:
    """The clauses in the name of a licence of Creative Commons; none of another's."""
    parts = licence.upper().split("-")
    return set(parts) & {"NC", "ND", "SA"} if parts[0] == "CC" else set()
