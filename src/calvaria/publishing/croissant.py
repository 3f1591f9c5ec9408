"""The Croissant description of a data set: its files, and the rows of its stores as record sets.

Source: Croissant format specification 1.0, MLCommons, http://mlcommons.org/croissant/1.0.
"""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from calvaria.publishing.published import KEYWORDS, METHOD, Published, licence_url
from calvaria.publishing.selection import Part
from calvaria.storage.rows import Declared, InjectRow, ScreenRow, columns

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
DATA_TYPES = {str: "sc:Text", int: "sc:Integer", float: "sc:Float", bool: "sc:Boolean"}


def croissant(data: Published, digests: dict[str, str]) -> dict[str, Any]:
    """Return the JSON-LD document.

    Args:
        digests: SHA-256 of every file, by its path in the directory.
    """
    document: dict[str, Any] = {
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
    return {**document, "url": data.terms.url} if data.terms.url else document


def _file(name: str, digest: str, data: Published) -> dict[str, Any]:
    suffix = name[name.rfind(".") :] if "/c/" not in name else ""
    described = {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": FORMATS.get(suffix, "application/octet-stream"),
        "sha256": digest,
    }
    return {**described, "contentSize": f"{data.sizes[name]} B"} if name in data.sizes else described


def _records(part: Part) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": part.name,
        "name": part.name,
        "description": f"{part.what} A record for each volume of {part.path}.",
        "key": {"@id": f"{part.name}/index"},
        "field": list(_fields(part)),
    }


def _fields(part: Part) -> Iterator[dict[str, Any]]:
    """Yield the fields of a store: all columns of numbers and texts, but no nested objects."""
    for one in columns(InjectRow if part.cases else ScreenRow):
        repeated = get_origin(one.type) is list
        if (data_type := _data_type(one)) is None:
            continue
        yield {
            "@type": "cr:Field",
            "@id": f"{part.name}/{one.name}",
            "name": f"{part.name}/{one.name}",
            "description": f"{one.column.meaning} Unit: {one.column.unit}."
            if one.column.unit
            else one.column.meaning,
            "dataType": data_type,
            **({"repeated": True} if repeated else {}),
            "source": {
                "fileObject": {"@id": f"{part.path}/rows/0.jsonl"},
                "extract": {"column": one.name},
            },
        }


def _data_type(declared: Declared) -> str | None:
    """Return the Croissant type of a column or of its elements, None for objects."""
    inner = declared.type
    if get_origin(inner) is list:
        (inner,) = get_args(inner)
    if get_origin(inner) in (Union, UnionType):
        inner = next(one for one in get_args(inner) if one is not NoneType)
    return DATA_TYPES.get(inner)
