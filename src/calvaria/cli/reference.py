"""Generate the config's JSON schema and the reference pages: ``python -m calvaria.cli.reference``."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

from calvaria.config import Config
from calvaria.storage.rows import TABLES, columns
from calvaria.storage.store import write_atomically

ROOT = Path(__file__).parents[3]
SCHEMA = Path("workflow/schemas/config.schema.json")
PAGE = Path("docs/config.md")
COMMANDS = Path("docs/commands.md")
TABLES_PAGE = Path("docs/tables.md")


def schema() -> str:
    """Return the JSON schema of the config."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def page() -> str:
    """Return the reference page of the config: a table of keys for every section."""
    described = Config.model_json_schema()
    sections = {
        "Config": {key: described[key] for key in ("properties", "description", "required")},
        **described["$defs"],
    }
    lines = [
        "# Config reference",
        "",
        "Generated from `src/calvaria/config/` by `make reference`; do not edit.",
        "",
        "Run a config with `snakemake --cores all --configfile mine.yaml`; `config.yaml` is the default. "
        "Missing keys have the defaults below; unknown keys are errors.",
    ]
    for name, section in sections.items():
        lines += ["", f"## {name}", "", section.get("description", ""), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", [])
        for key, value in section["properties"].items():
            default = "required" if key in required else f"`{json.dumps(value.get('default'))}`"
            meaning = " ".join(value.get("description", "").split())  # a table cell must fit on one line
            lines.append(f"| `{key}` | {_type(value)} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Return the reference page of the command line: exit codes, and every command with its options."""
    from typer.main import get_command

    from calvaria.cli import app
    from calvaria.cli.options import EXIT_CODES

    lines = [
        "# Command reference",
        "",
        "Generated from `src/calvaria/cli/` by `make reference`; do not edit.",
        "",
        "`calvaria COMMAND --help` shows the same text. `calvaria --install-completion` enables "
        "shell completion of commands, options and the names of a run's families and arms. `NO_COLOR=1` "
        "disables colours.",
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {code} | {when} |" for code, when in EXIT_CODES.items()),
    ]
    every: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in every.items():
        about, _, example = command.help.partition("\n\nExample: ")
        lines += ["", f"## calvaria {name}", "", about, "", f"    {example}", ""]
        lines += ["| option | default | meaning |", "|---|---|---|"]
        for option in command.params:
            called = (
                " ".join(f"`{one}`" for one in option.opts)
                if option.opts[0][0] == "-"
                else f"`{option.name.upper()}`"
            )
            default = (
                "required"
                if option.required
                else ""
                if option.default in (None, False)
                else f"`{option.default}`"
            )
            lines.append(f"| {called} | {default} | {option.help} |")
        if not command.params:
            lines = lines[:-2]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def tables() -> str:
    """Return the reference page of the tables of a run: every column with type, unit and meaning."""
    lines = [
        "# Table reference",
        "",
        "Generated from `src/calvaria/storage/rows.py` by `make reference`; do not edit.",
        "",
        "A run keeps its metadata in tables of JSON lines: one object per volume of a store, or per "
        "direction of a registration. `a.b` is key `b` of the object in column `a`; `a[].b` is key `b` of "
        "every object of a list. An *optional* column is absent where it does not apply. A published store "
        "has the rows of its screen or inject store in `rows/0.jsonl`.",
    ]
    for table in TABLES:
        lines += ["", f"## {table.name}", "", f"`{table.path}`. {table.description}", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|", *_column_lines(table.row)]
    return "\n".join(lines) + "\n"


def _column_lines(row: type, prefix: str = "") -> Iterator[str]:
    for one in columns(row):
        name, optional = prefix + one.name, "" if one.required else "optional "
        yield f"| `{name}` | {optional}{_hint(one.type)} | {one.column.unit} | {one.column.meaning} |"
        inner = get_args(one.type)[0] if get_origin(one.type) is list else one.type
        if is_typeddict(inner):
            yield from _column_lines(inner, f"{name}." if inner is one.type else f"{name}[].")


def _hint(hint: Any) -> str:
    """Return a short name of a column's type."""
    if is_typeddict(hint) or get_origin(hint) is dict:
        return "object"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_hint(one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(hint))
    if get_origin(hint) is list:
        return f"list of {_hint(get_args(hint)[0])}"
    return _HINTS[hint]


_HINTS = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def _type(value: dict[str, Any]) -> str:
    """Return a short name of a JSON schema type."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " or ".join(f"`{one}`" for one in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(_type(one) for one in value[key])
    if value.get("type") == "array":
        items = value.get("prefixItems") or [value.get("items", {})]
        return "list of " + ", ".join(dict.fromkeys(_type(one) for one in items))
    if isinstance(value.get("additionalProperties"), dict):
        return f"name: {_type(value['additionalProperties'])}"
    limits = [f"{sign} {value[key]}" for key, sign in _LIMITS.items() if key in value]
    return " ".join([value.get("type", "any"), *limits])


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


if __name__ == "__main__":
    write_atomically(ROOT / SCHEMA, schema())
    write_atomically(ROOT / PAGE, page())
    write_atomically(ROOT / COMMANDS, commands())
    write_atomically(ROOT / TABLES_PAGE, tables())
