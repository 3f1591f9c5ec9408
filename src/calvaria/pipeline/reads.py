"""The parts of the config that several stages depend on, each as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calvaria.config import Config

COMPUTE = ("device", "threads", "precision", "processes")
USED_LATER = ("fraction", "gates")  # settings of a family that do not affect its registrations
SHARES = ("validation", "test", "folds")
PER_SKULL = ("per_skull", "per_held_out_skull")


def section(config: Config, *keys: str) -> dict[str, Any]:
    """Return some top-level keys of the config."""
    return config.model_dump(mode="json", include=set(keys))


def base(config: Config) -> dict[str, Any]:
    """Return the dependencies of all jobs that use random numbers and volumes."""
    return section(config, "seed", "grid")


def compute(config: Config) -> dict[str, Any]:
    """Return the dependencies of all jobs that run a network or a registration."""
    return section(config, "seed", "grid", *COMPUTE)


def families(config: Config, name: str) -> list[str]:
    """Return the names of a family and of the family that it builds on."""
    return [name, below] if (below := config.below(name)) else [name]


def family(config: Config, name: str, number: int = 0) -> dict[str, Any]:
    """Return the dependencies of fitting a family."""
    settings = section(config, "fit")["fit"]
    return compute(config) | {"fit": {each: settings[each] for each in families(config, name)}}


def registrations(config: Config, name: str, number: int = 0) -> dict[str, Any]:
    """Return the dependencies of a family's registrations, without the settings ``USED_LATER``."""
    parts = family(config, name)
    parts["fit"][name] = {key: value for key, value in parts["fit"][name].items() if key not in USED_LATER}
    # The number of training skulls determines which registration is in which batch.
    shares = {key: value for key, value in section(config, "split")["split"].items() if key in SHARES}
    return parts | {"split": shares}


def shard(config: Config, number: int) -> dict[str, Any]:
    """Return the extent of a shard. If a store grows, only its last shard changes, unless it was full."""
    size = config.sample.shard_size
    return {"shard_size": size, "in_shard": min(size, config.sample.count - number * size)}


def draws(config: Config, name: str, number: int) -> dict[str, Any]:
    """Return the dependencies of a shard of samples of a family."""
    return family(config, name) | shard(config, number) | {"batch_size": config.sample.batch_size}


def defects(config: Config) -> dict[str, Any]:
    """Return the dependencies of defects, except their number."""
    inject = section(config, "inject")["inject"]
    return {key: value for key, value in inject.items() if key not in PER_SKULL}


def sources(config: Config) -> dict[str, Any]:
    """Return the sources of the skulls."""
    configured: dict[str, Any] = section(config, "ingest")["ingest"]["sources"]
    return configured


def arm(config: Config, name: str, number: int = 0) -> dict[str, Any]:
    """Return the dependencies of training a network of an arm."""
    c = section(config, "train", "evaluate")
    train = {key: value for key, value in c["train"].items() if key != "seeds"}
    fresh = {"inject": defects(config)} if config.train.fresh_defects else {}
    # The parameters of an augmentation level are defined in the code of the config.
    augmentation = config.train.arms[name].augmentation
    geometric = {"geometric": augmentation.model_dump(mode="json") if augmentation else None}
    return (
        compute(config)
        | fresh
        | {
            "train": train | {"arms": c["train"]["arms"][name] | geometric},
            "evaluate": c["evaluate"],
            "per_skull": config.inject.per_skull,
        }
    )
