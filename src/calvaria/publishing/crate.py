"""The RO-Crate of a data set: its parts and its provenance.

Source: RO-Crate Metadata Specification 1.1, https://w3id.org/ro/crate/1.1.
"""

from typing import Any

from calvaria.publishing.published import KEYWORDS, METHOD, Published, licence_url

FILES = {
    "README.md": ("The data-set card.", "text/markdown"),
    "manifest.json": (
        "SHA-256 of every data file, one digest of all, and the provenance of the run.",
        "application/json",
    ),
    "SHA256SUMS": ("SHA-256 of every file, for sha256sum --check.", "text/plain"),
    "croissant.json": ("The Croissant description, for machine learning.", "application/ld+json"),
    "config.yaml": ("The config from which calvaria reproduces the run.", "application/yaml"),
}


def crate(data: Published) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``."""
    audits = {f"audit/{family}.json": f"Audit of family {family}." for family in data.audits}
    files = {
        **FILES,
        **{name: (text, "application/json") for name, text in audits.items()},
    }
    authors = [{"@id": f"#author-{number}"} for number in range(len(data.terms.authors))]
    licence = {"@id": licence_url(data.terms.licence)}
    code = data.made.get("code", {})
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": data.terms.title,
        "description": data.description,
        "identifier": f"sha256:{data.digest}",
        "datePublished": data.day.isoformat(),
        "version": data.terms.version,
        "license": licence,
        "author": authors,
        "keywords": list(KEYWORDS),
        "citation": {"@id": METHOD},
        "hasPart": [{"@id": name} for name in (*files, *(f"{part.path}/" for part in data.parts))],
        "mentions": {"@id": "#run"},
    }
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {**root, "url": data.terms.url} if data.terms.url else root,
        *(
            {"@id": name, "@type": "File", "name": name, "description": text, "encodingFormat": kind}
            for name, (text, kind) in files.items()
        ),
        *(
            {
                "@id": f"{part.path}/",
                "@type": "Dataset",
                "name": part.name,
                "description": f"{part.what} A Zarr 3 store of {part.count} volumes.",
                "license": licence,
            }
            for part in data.parts
        ),
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"calvaria, run {data.name}",
            "description": f"Digest of the run: {data.made['digest']}",
            "instrument": {"@id": "#calvaria"},
            "object": {"@id": "config.yaml"},
            "result": {"@id": "./"},
        },
        {
            "@id": "#calvaria",
            "@type": "SoftwareApplication",
            "name": "calvaria",
            "version": code.get("version", "unknown"),
            "softwareVersion": code.get("commit") or code.get("source") or "unknown",
        },
        {"@id": licence["@id"], "@type": "CreativeWork", "name": data.terms.licence},
        {"@id": METHOD, "@type": "ScholarlyArticle", "name": "Wodzinski et al. 2024, arXiv 2406.06372"},
        *(
            {**one, "@type": "Organization", "name": name}
            for one, name in zip(authors, data.terms.authors, strict=True)
        ),
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
