"""Compare rows with their declaration in `calvaria.storage.rows`."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

from calvaria.storage.rows import columns


def mismatches(row: dict[str, Any], declared: type, where: str = "") -> Iterator[str]:
    """Yield every missing, undeclared or mistyped column."""
    known = {one.name: one for one in columns(declared)}
    for name in row.keys() - known.keys():
        yield f"{where}{name}: not declared"
    for name, one in known.items():
        if name in row:
            yield from _of_type(row[name], one.type, where + name)
        elif one.required:
            yield f"{where}{name}: missing"


def _of_type(value: Any, hint: Any, where: str) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint) and isinstance(value, dict):
        yield from mismatches(value, hint, f"{where}.")
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _of_type(one, arguments[0], f"{where}[{number}]")
    elif origin in (Union, UnionType):
        if all(any(_of_type(value, one, where)) for one in arguments):
            yield f"{where}: expected {hint}, got {value!r}"
    elif not _matches(value, hint):
        yield f"{where}: expected {hint}, got {value!r}"


def _matches(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is dict or hint is NoneType:
        return isinstance(value, get_origin(hint) or hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint
