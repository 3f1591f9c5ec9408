"""Errors that a user can act on: they name the file or key, what was found, what was wanted, what to do."""


class CalvariaError(Exception):
    """An expected failure; the command line prints its text alone, without a traceback."""


class ConfigError(CalvariaError):
    """The config is wrong; nothing was started."""


class InputError(CalvariaError):
    """A skull or another input file cannot be used."""


class StoreError(CalvariaError):
    """A store, weight file or table is missing, damaged, or of another run."""


class BudgetError(CalvariaError):
    """A bounded number of random tries was used up."""
