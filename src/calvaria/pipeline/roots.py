"""The modules of families, sources and recipes that a job runs because its config names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calvaria.pipeline import reads

if TYPE_CHECKING:
    from calvaria.config import Config


def families(config: Config, name: str) -> Sequence[str]:
    """Return the modules of a family and of the family that it builds on."""
    return [type(config.fit[each]).__module__ for each in reads.families(config, name)]


def sources(config: Config, name: str = "") -> Sequence[str]:
    """Return the modules of the sources."""
    return [type(source).__module__ for source in config.ingest.sources.values()]


def recipes(config: Config, name: str = "") -> Sequence[str]:
    """Return the modules of the recipes."""
    return [module for recipe in config.inject.recipes.values() for module in recipe.modules]


def fresh_recipes(config: Config, name: str = "") -> Sequence[str]:
    """Return the modules of the recipes if trainings generate new defects, otherwise none."""
    return recipes(config) if config.train.fresh_defects else []
