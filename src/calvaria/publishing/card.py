"""The data-set card: README.md with the front matter of data hubs."""

from typing import Any

import yaml

from calvaria.publishing.published import KEYWORDS, METHOD, Published, licence_url


def card(data: Published, config: dict[str, Any], phantoms: bool) -> str:
    """Return the text of the card.

    Args:
        config: the published config.
        phantoms: whether some skulls come from synthetic sources.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("calvaria", "publishing"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    cases = next(part for part in data.parts if part.cases)
    return environment.get_template("card.md").render(
        data=data,
        front=yaml.safe_dump(_front(data), sort_keys=False).strip(),
        config=config,
        cases=cases,
        sources=_sources(data, config),
        phantoms=phantoms,
        licence_url=licence_url(data.terms.licence),
        method=METHOD,
        megabytes={part.name: _megabytes(data, part.path) for part in data.parts},
        audits=[_audit(family, audit) for family, audit in data.audits.items()],
    )


def _front(data: Published) -> dict[str, Any]:
    return {
        "pretty_name": data.terms.title,
        "license": data.terms.licence.lower(),
        "tags": list(KEYWORDS),
        "task_categories": ["image-segmentation", "other"],
    }


def _megabytes(data: Published, folder: str) -> str:
    size = sum(size for name, size in data.sizes.items() if name.startswith(f"{folder}/"))
    return f"{size / 1e6:.3g}"


def _sources(data: Published, config: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "kind": source["kind"],
            "licence": data.terms.sources.get(name, "not applicable (procedural phantom)"),
        }
        for name, source in config["ingest"]["sources"].items()
    ]


def _audit(family: str, audit: dict[str, Any]) -> dict[str, Any]:
    """Return a table row; ``nearer`` if samples are closer to training skulls than real skulls are."""
    memory = audit["memorisation"]
    nearer = memory["ratio"] < 1 and memory["p_value"] < 0.05
    return {
        "family": family,
        "samples": audit["samples"],
        **{name: f"{audit['fidelity'][name]:.2f}" for name in ("precision", "recall", "coverage")},
        "neighbour_accuracy": f"{audit['fidelity']['neighbour_accuracy']:.2f}",
        "roughness": _beside(audit["roughness"], "share", "real_share"),
        "auc": _beside(audit["two_sample"], "skull_auc", "real_skull_auc"),
        "ratio": f"{memory['ratio']:.2f}",
        "p_value": f"{memory['p_value']:.2g}",
        "nearer": nearer,
        "rejected": audit["rejected"],
        "copies": audit["copies_dropped"],
        "held_out": audit["held_out"],
    }


def _beside(part: dict[str, float | None] | None, name: str, real: str) -> str:
    """Return a figure of a family, and that of real skulls in brackets; a dash for one that is unknown."""
    values = [None, None] if part is None else [part[name], part[real]]
    found, reference = ("–" if value is None else f"{value:.2f}" for value in values)
    return f"{found} (real: {reference})"
