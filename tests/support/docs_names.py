"""Names in prose, looked up without an import: dotted paths of Python objects, and paths of files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_DOTTED = re.compile(r"\bmmdbench(?:\.[A-Za-z_]\w*)+")
_TOP = ("mmdbench", "adapters", "tests", "tools", "docs", "examples", "benchmarks")
_ROOMS = tuple(path.name for path in (ROOT / "mmdbench").iterdir() if (path / "__init__.py").exists())
# A path at the start of a word: what follows `~/.config/` or `s3://lab/` is not one of the repository.
_PATH = re.compile(rf"(?<![\w/.:~$-])(?:{'|'.join((*_TOP, *_ROOMS))})/[\w./*-]*[\w*/]")
_FILE = re.compile(r"`(\w+\.py)`")


def missing_names(text: str) -> list[str]:
    """The dotted names `mmdbench.…`, paths and Python files in a text that do not exist."""
    missing = [name for name in _DOTTED.findall(text) if not _is_object(name)]
    missing += [path for path in _PATH.findall(text) if not _is_path(path)]
    titled = re.findall(r'title="([^"]+)"', text)  # files that the reader writes
    return missing + [file for file in _FILE.findall(text) if file not in (*titled, *_file_names())]


def _is_object(name: str) -> bool:
    parts = name.split(".")[1:]
    # `mmdbench.adapters` is the top-level folder.
    place = ROOT if parts[0] == "adapters" else ROOT / "mmdbench"
    while parts and (place / parts[0] / "__init__.py").exists():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").exists():
        place /= f"{parts.pop(0)}.py"
    else:
        place /= "__init__.py"
    return not parts or parts[0] in _top_level(place)


@cache
def _top_level(module: Path) -> frozenset[str]:
    """Names that a module defines or imports, and those that it lists (`__all__`)."""
    return frozenset(_names(ast.parse(module.read_text("utf-8"))))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
            if node.value is not None and any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                yield from ast.literal_eval(node.value)


def _is_path(path: str) -> bool:
    return any(any(folder.glob(path)) for folder in (ROOT, ROOT / "mmdbench"))


@cache
def _file_names() -> frozenset[str]:
    folders = (folder for folder in _TOP if folder != "docs")
    return frozenset(path.name for folder in folders for path in (ROOT / folder).rglob("*.py"))
