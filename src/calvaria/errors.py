"""Errors that a user can act on: they name the file or key, expected and actual value, and the remedy."""


class CalvariaError(Exception):
    """An expected failure; the command line prints only its text, without a traceback."""


class ConfigError(CalvariaError):
    """The config is invalid; nothing was started."""


class InputError(CalvariaError):
    """A skull or another input file cannot be used."""


class StoreError(CalvariaError):
    """A store, weight file or table is missing, damaged, or belongs to another run."""


class BudgetError(CalvariaError):
    """A limited number of random draws was exhausted."""
