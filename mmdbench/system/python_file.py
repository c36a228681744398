"""Python files of users: loaded by path, and a digest of a file with the modules beside it that it imports.

A module belongs to a file if its own file is in the folder of that file or below, and an import statement of
that file, or of another module that belongs to it, names it. Installed packages are no part of it, nor is a
module that is imported by a name made at run time, nor a data file. A module of a package belongs together
with the modules of that package in the same way.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.system.digest import bytes_digest, value_digest
from mmdbench.system.secrets import error_text

__all__ = ["file_digest", "load_file", "module_digest"]

_DIGEST = "_mmdbench_file_digest"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_NOT_OWN = sys.stdlib_module_names | {"mmdbench"}


@dataclass(frozen=True, slots=True)
class _Source:
    """A source file; `package` is the dotted name of the package that it is in, empty for none."""

    path: Path
    package: str


def load_file(path: Path, what: str, kind: type[MmdbenchError] = UsageError) -> ModuleType:
    """The module in a file, read once in a process.

    Args:
        path: The file.
        what: The file in words, for messages.
        kind: The class of the error.

    Returns:
        The module.

    Raises:
        MmdbenchError: There is no such file, or its code fails.
    """
    path = path.expanduser().resolve()
    name = f"_mmdbench_file_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise kind(
            f"{what} cannot be read: there is no such file.",
            hint="Paths are read from the folder that mmdbench is called in.",
        )
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, MmdbenchError):
            raise
        raise kind(f"{what} cannot be run: {error_text(error)}.") from error
    setattr(module, _DIGEST, _digest(_Source(path, ""), path.parent))
    return module


def file_digest(module: ModuleType) -> str:
    """The digest of the sources of a module that `load_file` made; empty for another module."""
    return str(getattr(module, _DIGEST, ""))


def module_digest(module: ModuleType) -> str:
    """The digest of a module's file and of those of its package that it imports; empty without a file.

    A module that is in no package is taken with the modules in its folder, those of installed packages
    excepted.
    """
    file = getattr(module, "__file__", None)
    if file_digest(module) or not file:
        return file_digest(module)
    path = Path(file).resolve()
    package = (getattr(module, "__package__", None) or "") if module.__name__ != "__main__" else ""
    folder = path.parents[package.count(".")] if package else path.parent
    return _digest(_Source(path, package), folder)


def _sources(start: _Source, folder: Path) -> list[Path]:
    """A file, and every file in a folder or below that it imports, directly or not."""
    found = {start.path: None}
    todo = [start]
    while todo:
        source = todo.pop()
        for name in _imported(source):
            for part in _located(name, folder):
                if part.path not in found:
                    found[part.path] = None
                    todo.append(part)
    return list(found)


def _digest(start: _Source, folder: Path) -> str:
    sources = _sources(start, folder)
    digests = {path.relative_to(folder).as_posix(): bytes_digest(path.read_bytes()) for path in sources}
    return next(iter(digests.values())) if len(digests) == 1 else value_digest(digests)


def _imported(source: _Source) -> Iterator[str]:
    """Dotted names in the import statements of a file; some are attributes of a module, not modules."""
    try:
        tree = ast.parse(source.path.read_bytes())
    except (SyntaxError, ValueError):  # compiled, or never imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = source.package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*filter(None, above), *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}".strip(".") for alias in node.names)


def _located(name: str, folder: Path) -> Iterator[_Source]:
    """The files in a folder that a dotted name is imported from: of each package in it, and of the module."""
    top, *rest = name.split(".")
    if top in _NOT_OWN or not top:
        return
    places = _top_places(top, folder)
    for depth in range(len(rest) + 1):
        if depth:
            places = [place / rest[depth - 1] for place in places]
        package = ".".join([top, *rest[:depth]])
        for place in places:
            for path, of in (
                (place.with_name(f"{place.name}.py"), package.rpartition(".")[0]),
                (place / "__init__.py", package),
            ):
                if path.is_file() and _is_own(path.resolve(), folder):
                    yield _Source(path.resolve(), of)


def _top_places(name: str, folder: Path) -> list[Path]:
    """Paths, without an ending, of a module or package as Python finds it; in the folder if it does not."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return [folder / name]
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin).with_suffix("")] if spec.origin else []


def _is_own(path: Path, folder: Path) -> bool:
    if folder.name in _INSTALLED:  # a module that is installed without a package of its own is alone
        return False
    return path.is_relative_to(folder) and not _INSTALLED & {*path.relative_to(folder).parts}
