"""All kinds of families, recipes and sources: built-in ones and those of installed packages.

A plugin is a class derived from ``Section`` whose fields are its section of the config. It has a field
``kind: Literal["NAME"]``, by which a config selects it. A package registers its own plugins as entry points
of the group ``calvaria.families``, ``calvaria.recipes`` or ``calvaria.sources``. Their modules are imported
whenever a config is read, so they import at most NumPy at the top level and heavier packages where needed.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal

from calvaria.errors import ConfigError
from calvaria.plugins.section import Section

Group = Literal["families", "recipes", "sources"]

BUILT_IN: dict[Group, tuple[str, ...]] = {
    "families": (
        "calvaria.families.real:RealFamily",
        "calvaria.families.registration:RegistrationFamily",
        "calvaria.families.ssm:SsmFamily",
        "calvaria.families.vae:VaeFamily",
        "calvaria.families.vqvae:VqvaeFamily",
        "calvaria.families.wgan:WganFamily",
        "calvaria.families.introvae:IntrovaeFamily",
        "calvaria.families.ldm:LdmFamily",
    ),
    "recipes": (
        "calvaria.defects.recipes.spheres:SpheresRecipe",
        "calvaria.defects.recipes.rounded_box:RoundedBoxRecipe",
        "calvaria.defects.recipes.ellipsoid:EllipsoidRecipe",
        "calvaria.defects.recipes.cuboid:CuboidRecipe",
        "calvaria.defects.recipes.craniotomy:CraniotomyRecipe",
        "calvaria.defects.recipes.custom:CustomRecipe",
    ),
    "sources": (
        "calvaria.sources.phantom:PhantomSource",
        "calvaria.sources.folder:FolderSource",
        "calvaria.sources.skullfix:SkullfixSource",
        "calvaria.sources.skullbreak:SkullbreakSource",
        "calvaria.sources.mug500:Mug500Source",
        "calvaria.sources.ct:CtSource",
    ),
}


@cache
def kinds(group: Group) -> dict[str, type[Section]]:
    """Return the plugins of a group by their kind, the built-in ones first.

    Raises:
        ConfigError: if a plugin cannot be imported, has no kind, or a kind that is already taken.
    """
    paths = [*BUILT_IN[group], *(point.value for point in entry_points(group=f"calvaria.{group}"))]
    plugins: dict[str, type[Section]] = {}
    for path in paths:
        plugin = _load(path)
        (kind,) = plugin.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
        if kind in plugins:
            raise ConfigError(f"{path}: kind {kind!r} is already defined by {plugins[kind]}; choose another")
        plugins[kind] = plugin
    return plugins


def _load(path: str) -> type[Section]:
    module, _, name = path.partition(":")
    try:
        plugin = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot import this plugin ({error}); correct or uninstall it") from error
    if not (isinstance(plugin, type) and issubclass(plugin, Section) and "kind" in plugin.model_fields):
        raise ConfigError(f"{path}: expected a class derived from Section with a field kind, got {plugin!r}")
    literal: type[Section] = plugin
    return literal
