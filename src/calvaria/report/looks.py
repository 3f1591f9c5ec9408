"""The part of the audits about how skulls look: a table, with real skulls in its first row, and a plot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calvaria.metrics.roughness import SURFACES
from calvaria.report.figures import INK, PALE, Plot, colour, new_figure, plot_of
from calvaria.report.tables import number

REAL = "real, held out"
TICKS_MM = (5, 10, 20, 40)
AMPLITUDES_MM = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class LookColumn:
    """A figure of a family, and the same of real skulls."""

    label: str
    digits: int
    family: Callable[[Any], float | None]  # of an audit
    real: Callable[[Any], float | None]


@dataclass(frozen=True)
class LookRow:
    """How the skulls of a family look, as text."""

    family: str
    cells: list[str]


def _part(part: str, name: str, real: str) -> tuple[Callable[[Any], float | None], ...]:
    """Return functions for two figures of a part of an audit, None if the audit lacks the part."""

    def value(audit: Any, key: str) -> float | None:
        return audit[part][key] if audit[part] else None

    return (lambda audit: value(audit, name)), (lambda audit: value(audit, real))


def _median(part: str, name: str) -> tuple[Callable[[Any], float | None], ...]:
    return (lambda audit: audit[part][name]["samples"]), (lambda audit: audit[part][name]["real"])


COLUMNS = (
    LookColumn("Roughness as in real skulls", 2, *_part("roughness", "share", "real_share")),
    LookColumn("AUC, patch", 2, *_part("two_sample", "patch_auc", "real_patch_auc")),
    LookColumn("AUC, skull", 2, *_part("two_sample", "skull_auc", "real_skull_auc")),
    LookColumn("Thickness, vault (mm)", 2, *_part("thickness", "vault_mm", "real_vault_mm")),
    LookColumn("Thickness, by place (mm)", 2, *_part("thickness", "place_mm", "real_place_mm")),
    LookColumn("Drops", 0, *_median("base", "drops")),
    LookColumn("Euler number", 0, *_median("base", "euler")),
    LookColumn("Surface of the base (1/mm)", 2, *_median("base", "surface_per_mm")),
    LookColumn("Pin-holes, vault (1/dm²)", 1, *_median("pin_holes", "vault")),
    LookColumn("Pin-holes, temporal (1/dm²)", 1, *_median("pin_holes", "temporal")),
)


def look_table(audits: Mapping[str, Any]) -> list[LookRow]:
    """Format how the skulls of all families look; the first row has the figures of real skulls."""
    first = next(iter(audits.values()))
    rows = [LookRow(REAL, [number(one.real(first), one.digits) for one in COLUMNS])]
    for family, audit in audits.items():
        rows.append(LookRow(family, [number(one.family(audit), one.digits) for one in COLUMNS]))
    return rows


def roughness_figure(audits: Mapping[str, Any]) -> Plot | None:
    """Plot the rms amplitude of both surfaces by wavelength: medians of families on the range of real skulls.

    None if there were too few real skulls.
    """
    drawn = {family: audit["roughness"] for family, audit in audits.items() if audit["roughness"]}
    if not drawn:
        return None
    figure, panels = new_figure(len(SURFACES), 4.4, 3.0)
    for panel, surface in zip(panels, SURFACES, strict=True):
        first = next(iter(drawn.values()))
        wave = np.sqrt(np.prod(first["bands_mm"], axis=1))
        real = first[surface]
        panel.fill_between(wave, real["low_mm"], real["high_mm"], color=PALE, lw=0, label="real, 5-95 %")
        panel.plot(wave, real["real_mm"], color=INK, lw=1.6, label="real, median")
        for i, family in enumerate(audits):
            if family in drawn:
                panel.plot(
                    wave, drawn[family][surface]["samples_mm"], "o-", ms=3, color=colour(i), label=family
                )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.xaxis.set_minor_formatter("")
        panel.yaxis.set_minor_formatter("")
        panel.set_xticks(TICKS_MM, [str(tick) for tick in TICKS_MM])
        panel.grid(color=PALE, lw=0.6)
        panel.set_xlabel(f"Wavelength on the {surface} surface (mm)")
    low, high = panels[0].get_ylim()
    ticks = [tick for tick in AMPLITUDES_MM if low <= tick <= high]
    panels[0].set_yticks(ticks, [str(tick) for tick in ticks])
    panels[0].set_ylabel("Roughness, rms (mm)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return plot_of(figure)
