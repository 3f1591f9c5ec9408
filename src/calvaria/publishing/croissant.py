"""The Croissant description of a data set: its files, and the rows of its stores as records.

Source: Croissant format specification 1.0, MLCommons, http://mlcommons.org/croissant/1.0.
"""

from typing import Any

from calvaria.publishing.published import KEYWORDS, METHOD, Published, licence_url
from calvaria.publishing.selection import Part

_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
}
TEXT, INTEGER, NUMBER = "sc:Text", "sc:Integer", "sc:Float"
OF_SKULL = {
    "index": (INTEGER, "Number of the volume in its store."),
    "parents": (TEXT, "Ids of the real skulls that it descends from."),
    "sha256": (TEXT, "SHA-256 of the label volume's bytes, (x, y, z) uint8 in C order."),
}
OF_CASE = OF_SKULL | {
    "skull": (INTEGER, "Number of the complete skull."),
    "recipe": (TEXT, "Recipe of the defect; own if the scan came with it."),
    "implant_ml": (NUMBER, "Volume of the implant in ml."),
}


def croissant(data: Published, digests: dict[str, str]) -> dict[str, Any]:
    """The JSON-LD document.

    Args:
        digests: SHA-256 of every file, by its path in the directory.
    """
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": data.name,
        "alternateName": data.terms.title,
        "description": data.description,
        "license": licence_url(data.terms.licence),
        "creator": [{"@type": "sc:Organization", "name": name} for name in data.terms.authors],
        "datePublished": data.day.isoformat(),
        "version": data.terms.version,
        "keywords": list(KEYWORDS),
        "citeAs": data.citation,
        "isBasedOn": METHOD,
        "rai:dataLimitations": "Synthetic skulls of few people; see README.md. Not for clinical use.",
        "distribution": [_file(name, digest, data) for name, digest in digests.items()],
        "recordSet": [_records(part) for part in data.parts],
    }
    return {**found, "url": data.terms.url} if data.terms.url else found


def _file(name: str, digest: str, data: Published) -> dict[str, Any]:
    suffix = name[name.rfind(".") :] if "/c/" not in name else ""
    found = {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": FORMATS.get(suffix, "application/octet-stream"),
        "sha256": digest,
    }
    return {**found, "contentSize": f"{data.sizes[name]} B"} if name in data.sizes else found


def _records(part: Part) -> dict[str, Any]:
    fields = OF_CASE if part.cases else OF_SKULL
    return {
        "@type": "cr:RecordSet",
        "@id": part.name,
        "name": part.name,
        "description": f"{part.what} A record for each volume of {part.path}.",
        "key": {"@id": f"{part.name}/index"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{part.name}/{name}",
                "name": f"{part.name}/{name}",
                "description": text,
                "dataType": kind,
                **({"repeated": True} if name == "parents" else {}),
                "source": {
                    "fileObject": {"@id": f"{part.path}/rows/0.jsonl"},
                    "extract": {"column": name},
                },
            }
            for name, (kind, text) in fields.items()
        ],
    }
