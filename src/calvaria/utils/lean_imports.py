"""Import single modules of a large package, without all that its ``__init__`` files import.

``import monai.networks.blocks.dynunet_block`` runs ``monai/__init__.py`` first, which imports every module of
MONAI and with them pandas, scikit-learn and Matplotlib: 4 s for two blocks that need torch alone
(benchmarks/imports.md).
"""

import ast
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextmanager
def without_init(package: str) -> Iterator[None]:
    """Import modules of a package in this context without running the ``__init__`` of packages above them.

    The modules stay loaded, the packages do not: a later import gets them whole, with the same modules. Do
    nothing if the whole package has been imported already.
    """
    if package in sys.modules:
        yield
        return
    finder = _finder(package)
    finder.postpones = True
    try:
        yield
    finally:
        finder.postpones = False
        for name, module in list(sys.modules.items()):
            if isinstance(module, _Stub) and name.split(".")[0] == package:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds the packages of one package for ``without_init``, and after it."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.postpones = False  # whether packages are found as stubs

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.submodule_search_locations and isinstance(spec.loader, InspectLoader):
            spec.loader = (_StubLoader if self.postpones else _WholeLoader)(spec.loader)
        return spec


def _finder(package: str) -> _Finder:
    """Return the installed finder of a package; install it the first time."""
    for finder in sys.meta_path:
        if isinstance(finder, _Finder) and finder.package == package:
            return finder
    finder = _Finder(package)
    sys.meta_path.insert(0, finder)
    return finder


class _PackageLoader(Loader):
    """Loads a package in another way than the loader that would."""

    def __init__(self, loader: InspectLoader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty module."""


class _StubLoader(_PackageLoader):
    """Loads a package as a stub."""

    def exec_module(self, module: ModuleType) -> None:
        source = self.loader.get_source(module.__name__) or ""
        module.__dict__["_origins"] = _origins(module.__name__, source)
        module.__class__ = _Stub


class _WholeLoader(_PackageLoader):
    """Loads a package as ever, after those of its modules that are loaded have become its attributes."""

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.loader
        for name, loaded in list(sys.modules.items()):
            above, _, child = name.rpartition(".")
            if above == module.__name__:
                setattr(module, child, loaded)
        self.loader.exec_module(module)


class _Stub(ModuleType):
    """A package whose ``__init__`` was not run; has what modules of the package import from it."""

    _origins: dict[str, tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        """Import what the ``__init__`` would import under this name; take any other from the whole package.

        Raises:
            AttributeError: if there is no such name, or the whole package is not to be imported yet.
        """
        if name in self._origins:
            module, original = self._origins[name]
            return getattr(importlib.import_module(module), original)
        whole = sys.modules.get(self.__name__) or importlib.import_module(self.__name__)
        if whole is self:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} before it is whole")
        return getattr(whole, name)


def _origins(package: str, source: str) -> dict[str, tuple[str, str]]:
    """Return, for every name that an ``__init__`` imports from its own package, module and name there."""
    return {
        alias.asname or alias.name: (f"{package}.{node.module}", alias.name)
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for alias in node.names
        if alias.name != "*"
    }
