"""Generates the config's JSON schema and the reference pages: ``python -m calvaria.cli.reference``."""

import json
from pathlib import Path
from typing import Any

from calvaria.config import Config
from calvaria.storage.store import write_atomically

ROOT = Path(__file__).parents[3]
SCHEMA = Path("workflow/schemas/config.schema.json")
PAGE = Path("docs/config.md")
COMMANDS = Path("docs/commands.md")


def schema() -> str:
    """The JSON schema of the config."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def page() -> str:
    """The reference page: a table of keys for every section."""
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
        "Run a config with `snakemake --cores all --configfile mine.yaml`; without one, "
        "`config.yaml` is run. What a config does not say has the default below; unknown keys are refused.",
    ]
    for name, section in sections.items():
        lines += ["", f"## {name}", "", section.get("description", ""), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", [])
        for key, value in section["properties"].items():
            default = "required" if key in required else f"`{json.dumps(value.get('default'))}`"
            meaning = " ".join(value.get("description", "").split())  # a cell is one line
            lines.append(f"| `{key}` | {_type(value)} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The reference page of the command line: exit codes, and every command with its options."""
    from typer.main import get_command

    from calvaria.cli import app
    from calvaria.cli.options import EXIT_CODES

    lines = [
        "# Command reference",
        "",
        "Generated from `src/calvaria/cli/` by `make reference`; do not edit.",
        "",
        "`calvaria --install-completion` makes the shell complete commands, options and the names of a run's "
        "families and arms; `calvaria COMMAND --help` says what is below. `NO_COLOR=1` turns colours off.",
        "",
        "| exit code | when |",
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


def _type(value: dict[str, Any]) -> str:
    """A short name of a JSON schema type."""
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
