"""Import single modules of a large package without running its ``__init__`` files.

``import monai.networks.blocks.dynunet_block`` first runs ``monai/__init__.py``, which imports every module
of MONAI and thus pandas, scikit-learn and Matplotlib: 4 s for two blocks that need only torch
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
    """Import modules of a package in this context without running the ``__init__`` of their parents.

    The modules stay loaded, the parent packages do not: a later import loads these completely and reuses
    the modules. Do nothing if the package has already been imported.
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
    """Finder of a package and its subpackages, as stubs within ``without_init`` and as usual after it."""

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
    """Return the finder of a package; install it if necessary."""
    for finder in sys.meta_path:
        if isinstance(finder, _Finder) and finder.package == package:
            return finder
    finder = _Finder(package)
    sys.meta_path.insert(0, finder)
    return finder


class _PackageLoader(Loader):
    """Base of loaders that wrap a package's regular loader."""

    def __init__(self, loader: InspectLoader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python creates an empty module."""


class _StubLoader(_PackageLoader):
    """Loader of a package as a stub."""

    def exec_module(self, module: ModuleType) -> None:
        source = self.loader.get_source(module.__name__) or ""
        module.__dict__["_origins"] = _origins(module.__name__, source)
        module.__class__ = _Stub


class _WholeLoader(_PackageLoader):
    """Loader of a complete package whose loaded modules become its attributes first."""

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.loader
        for name, loaded in list(sys.modules.items()):
            above, _, child = name.rpartition(".")
            if above == module.__name__:
                setattr(module, child, loaded)
        self.loader.exec_module(module)


class _Stub(ModuleType):
    """A package whose ``__init__`` was not run; resolves the names that its modules import from it."""

    _origins: dict[str, tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        """Import what the ``__init__`` would import under this name; take others from the complete package.

        Raises:
            AttributeError: if there is no such name, or the complete package may not be imported yet.
        """
        if name in self._origins:
            module, original = self._origins[name]
            return getattr(importlib.import_module(module), original)
        whole = sys.modules.get(self.__name__) or importlib.import_module(self.__name__)
        if whole is self:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} before it is whole")
        return getattr(whole, name)


def _origins(package: str, source: str) -> dict[str, tuple[str, str]]:
    """Return module and original name of every name that an ``__init__`` imports from its package."""
    return {
        alias.asname or alias.name: (f"{package}.{node.module}", alias.name)
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for alias in node.names
        if alias.name != "*"
    }
