"""Write the page of benchmarks/registration.py from the results of its parts."""

import json
import textwrap
from pathlib import Path

import numpy as np
from environment import header

from calvaria.families.registration.gates import Gates, Measured, verdict
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json

PAIRS, WARPS = 6, 12
WAYS = ("ants", "pairwise", "template", "ssm")
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def part_of(run: Run, name: str) -> Path:
    """Return the path of a part's results."""
    return run.root / f"{name}.json"


def report(run: Run, skulls: int, target: Path) -> None:
    """Write the page from the results of all parts, and copy their pictures."""
    parts = {name: json.loads(part_of(run, name).read_text()) for name in WAYS}
    every = skulls * (skulls - 1)
    build = read_json(part_of(run, "template-build"))["seconds"]
    once = sum(read_json(part_of(run, f"template-{k}"))["seconds"] for k in range(2))
    pairs_s = sum(read_json(part_of(run, f"pairwise-{k}"))["seconds"] for k in range(2)) / (2 * PAIRS)
    lines = []
    costs = {}
    for name, part in parts.items():
        rows = [gated(row) for row in part["rows"]]
        part["rows"] = rows
        done = [row for row in rows if "warp_s" in row]
        taken = [row for row in rows if row["fault"] is None]
        each = float(np.mean([row["warp_s"] + row["screen_s"] for row in done]))
        preparing = float(np.mean([row.get("prepare_s", 0) for row in done]))
        each += preparing / (skulls - 1) if name == "template" else preparing
        shared = {
            "ants": float(np.mean([row.get("register_s", 0) for row in done])),
            "pairwise": pairs_s,
            "template": (build + once) / every,
            "ssm": (build + once + part.get("fit_s", 0)) / every,
        }[name]
        costs[name] = (each + shared) * len(rows) / max(1, len(taken))
        with_target = [row for row in taken if "dice" in row]

        def mean(key: str, rows=with_target) -> str:
            return f"{np.mean([row[key] for row in rows]):.4f}" if rows else "-"

        title = {
            "ants": "(a) SyNQuick, 1 mm",
            "pairwise": "(b) pairwise",
            "template": "(c) template",
            "ssm": "(d) ssm",
        }
        lines.append(
            [
                title[name],
                f"{shared:.2f}",
                f"{each:.2f}",
                f"{len(taken)} of {len(rows)}",
                f"**{costs[name]:.2f}**",
                f"{costs['ants'] / costs[name]:.1f}",
                mean("dice"),
                mean("surface_mm"),
                f"{100 * max((row['folded'] for row in taken), default=0):.4f}",
                f"{min((row['least_jacobian'] for row in taken), default=0):.2f}",
                mean("thickness_error_mm", taken),
                f"{part['apart']:.3f}",
                f"{part['nearest']:.3f}",
            ]
        )
    head = [
        "way",
        "registration, CPU s a skull",
        "warp, gates and screen, CPU s",
        "accepted",
        "CPU s an accepted skull",
        "times less than (a)",
        "Dice to target",
        "surface distance, mm",
        "most folded voxels, %",
        "least Jacobian",
        "thickness error, mm",
        "apart",
        "nearest",
    ]
    text = [
        header("Registration", "python benchmarks/registration.py RUN FOLDER benchmarks/registration.md"),
        "",
        paragraph(
            f"{skulls} different skulls on a grid of 1 mm; {PAIRS} unordered pairs, the same",
            "for (a), (b) and",
            f"(c), both directions: {2 * PAIRS} warps each; {WARPS} samples of (d). One",
            "thread a process; two",
            "processes at a time shared the machine. Registration is what an ordered pair",
            "bears of its cost when",
            f"all {every} ordered pairs are computed: half a run for (a) and (b); for (c) and (d) "
            "the template",
            f"({build:.0f} s, measured) and all {skulls} registrations to it ({once:.0f} s, measured, with",
            "refining, gates and reading) over all ordered pairs. All rows bear the screen (extents, volume,",
            "thickness, closed vault) and their gates. Thickness error: of the mean along 2000 rays, to the",
            "target; of (d), to the skull that was warped. Apart: mean 1 - Dice between the",
            "skulls made. Nearest:",
            "mean Dice of each to the real skull that it is most like; lower is newer, and a",
            "warp all the way to",
            "its target is meant to be like it.",
        ),
        "",
        table(head, lines),
        "",
    ]
    reasons: dict[str, list[str]] = {}
    for name, part in parts.items():
        reasons[name] = [row["fault"] for row in part["rows"] if row["fault"]]
    rejected = "; ".join(f"{name}: {', '.join(sorted(each))}" for name, each in reasons.items() if each)
    text += [f"Rejected: {rejected or 'none'}.", ""]
    ssm = parts["ssm"]
    warps_h = every * float(lines[2][2]) / 3600
    text += [
        f"(d): {ssm['modes']} modes of {ssm['skulls']} skulls; the velocity fields miss the fields by "
        f"{ssm['inversion_error_mm']:.2f} mm (root mean square).",
        "",
        "## All ordered warps of these skulls at 1 mm",
        "",
        paragraph(
            f"(c): template and registrations, measured whole, {(build + once) / 3600:.2f} h of CPU; {every}",
            f"warps with gates and screen, extrapolated from {2 * PAIRS}, {warps_h:.2f} h; together",
            f"**{(build + once) / 3600 + warps_h:.2f} h of CPU**, half of it in wall time on two cores.",
            f"(a), extrapolated: {every * costs['ants'] / 3600:.0f} h of CPU.",
        ),
        "",
        "## Looking a skull up between voxels",
        "",
        "The same composed fields of (c); thickness error here is the mean absolute one, ray by ray.",
        "",
    ]
    rows = json.loads(part_of(run, "interpolation").read_text())["rows"]
    names = list(dict.fromkeys(row["way"] for row in rows if row["way"] != "ants"))
    text.append(
        table(
            [
                "look-up",
                "Dice to target",
                "thickness error, mm",
                "bone volume, off by %",
                "faces a voxel",
                "pieces",
            ],
            [
                [
                    name,
                    *(
                        f"{scale * np.mean([row[key] for row in rows if row['way'] == name]):{form}}"
                        for key, scale, form in (
                            ("dice", 1, ".4f"),
                            ("thickness_error_mm", 1, ".3f"),
                            ("volume_error", 100, ".2f"),
                            ("rough", 1, ".3f"),
                            ("pieces", 1, ".0f"),
                        )
                    ),
                ]
                for name in names
            ],
        )
    )
    theirs = [row for row in rows if row["way"] == "ants"]
    mine_s, theirs_s = (np.mean([row[key] for row in theirs]) for key in ("mine_s", "theirs_s"))
    text += [
        "",
        paragraph(
            f"`ants.apply_transforms` (linear, the same field written at 1 mm): {theirs_s:.2f} s; `warp`:",
            f"{mine_s:.2f} s, **{theirs_s / mine_s:.1f} times** as fast (best of three each,",
            "one thread, mean of",
            f"{len(theirs)} pairs). Its linear values differ from ours by",
            f"{np.mean([row['occupancy_mean_error'] for row in theirs]):.1e} on average where",
            "there is bone and",
            f"{max(row['occupancy_error'] for row in theirs):.1e} at most; Dice between its",
            "skull (0.5) and ours",
            f"{np.mean([row['dice'] for row in theirs]):.4f}.",
        ),
    ]
    target.write_text("\n".join(text) + "\n")
    for name in WAYS:
        (PICTURES / f"registration_{name}.png").write_bytes((run.root / f"{name}.png").read_bytes())


def paragraph(*lines: str) -> str:
    return textwrap.fill(" ".join(lines), 110, break_long_words=False, break_on_hyphens=False)


def gated(row: dict) -> dict:
    """Return a row with the verdict of the current gates, which may change without new registrations."""
    figures = {"similarity": 1.0, **{key: row[key] for key in Measured.__dataclass_fields__ if key in row}}
    fault = row["fault"]
    if len(figures) == len(Measured.__dataclass_fields__):
        fault = verdict(Measured(**figures), Gates()) or (None if (fault or "").startswith("warp") else fault)
    return {**row, "fault": fault}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
