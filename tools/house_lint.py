"""Lint for the rules of the house that ruff does not know; `make lint` runs it.

    python tools/house_lint.py [--only CODE] [PATH ...]

| code     | rule                                                                                  |
|----------|---------------------------------------------------------------------------------------|
| question | a docstring's first line is no indirect question (What, How, Whether, Who, Where …)     |
| word     | docstrings, help texts, messages and names of tests do without the words of `WORDS`    |
| twice    | a public class name has one meaning in the package                                     |
| args     | a public function with more than two parameters describes each, and what it returns    |
| length   | a function has at most 40 lines without its docstring, a module at most 350            |
| params   | a function has at most 6 parameters                                                    |
| private  | a private module or name is not imported from another package; a test that uses one    |
|          | says why, in a comment with the word "private" at most four lines above one use         |
| tests    | a test does not import another one: what they share is in tests/support                |
| circle   | modules do not import each other in a circle, late imports included                    |

Exceptions to `word`, `length` and `params` are listed in `EXCEPTIONS`, each with its reason.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("mmdbench", "adapters")
FUNCTION_LINES, MODULE_LINES, PARAMETERS, UNDESCRIBED = 40, 350, 6, 2

QUESTION = re.compile(r"^(What|How|Whether|Who|Whose|Whom|Where|Which|Why)\b")
WORDS = {
    "metaphor": r"\b(crew|bury|buried|mourn\w*|fruitless)\b",
    "riddle": r"\b(nobody|whoever|under way|what became of|goes on|go on|went on|is said|are said)\b",
}
EXCEPTIONS: dict[str, str] = {
    "mmdbench/corruptions/operations.py:corrupt": "the public call, in the style of ImageNet-C's `corrupt`",
    "mmdbench/corruptions/batches.py:corrupt_batch": "the public call: the parameters of `corrupt`",
    "mmdbench/benches/lookup.py:open_bench": "the public call: where a benchmark is, and how it is read",
    "mmdbench/library/building.py:replay": "the public call: the options of the verb",
    "mmdbench/library/quality.py:measure_quality": "the public call: the options of the verb",
    "mmdbench/library/rescoring.py:score_file": "the public call: the options of the verb",
    "mmdbench/corruptions/_inpainting_numba.py:_sum_of_neighbours.typed": "a numba kernel",
    "mmdbench/corruptions/_inpainting_numba.py:_march": "a numba kernel",
    "mmdbench/corruptions/_inpainting_numba.py:_fill": "a numba kernel",
    "adapters/_baseline/vocabulary.py": "its strings are words that questions use",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One broken rule at one place."""

    path: str
    line: int
    code: str
    text: str


def main() -> int:
    parser = argparse.ArgumentParser(description="Lint for the rules of the house.")
    parser.add_argument("paths", nargs="*", help="Only these files or folders.")
    parser.add_argument("--only", default="", help="Only this rule.")
    arguments = parser.parse_args()
    wanted = [str(Path(p).resolve().relative_to(ROOT)) for p in arguments.paths]
    findings = [
        f
        for f in check(ROOT)
        if (not wanted or any(f.path == w or f.path.startswith(w + "/") for w in wanted))
        and arguments.only in ("", f.code)
    ]
    for f in findings:
        print(f"{f.path}:{f.line}: {f.code}: {f.text}")
    if findings:
        print(f"{len(findings)} findings", file=sys.stderr)
    return bool(findings)


def check(root: Path) -> list[Finding]:
    """All findings in the package below a folder, in order of place."""
    found: list[Finding] = []
    classes: dict[str, list[Finding]] = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            source = path.read_text("utf-8")
            tree = ast.parse(source)
            found += check_docstrings(name, tree)
            found += check_sizes(name, tree, source)
            found += check_imports(name, tree)
            if "integrations/" not in name:  # each host library has its own name for the same thing
                for node in ast.walk(tree):
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        classes[node.name].append(Finding(name, node.lineno, "twice", node.name))
    found += check_circles(root)
    found += check_tests(root)
    for places in classes.values():
        if len(places) > 1:
            found += [p._replace(text=f"class {p.text} is also in {_others(p, places)}") for p in places]
    return sorted(found)


def _others(place: Finding, places: list[Finding]) -> str:
    return ", ".join(f"{p.path}:{p.line}" for p in places if p != place)


def check_docstrings(name: str, tree: ast.Module) -> Iterator[Finding]:
    """Indirect questions, words that are riddles, and parameters without a description."""
    texts = {qualified: ast.get_docstring(node) or "" for node, qualified in _documented(tree)}
    for node, qualified in _documented(tree):
        # A class says what its constructor takes.
        text = ast.get_docstring(node) or texts.get(qualified.removesuffix(".__init__"), "")
        line = getattr(node, "lineno", 1)
        first = text.split("\n", 1)[0]
        if QUESTION.match(first):
            yield Finding(name, line, "question", f"{qualified}: {first}")
        if isinstance(node, Function) and _is_public(name, qualified):
            yield from check_parameters(name, node, qualified, text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and name not in EXCEPTIONS:
            for kind, pattern in WORDS.items():
                if match := re.search(pattern, node.value, re.IGNORECASE):
                    yield Finding(name, node.lineno, "word", f"{kind}: {match[0]!r}")
    for before, node in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.Assign | ast.AnnAssign) and _is_text(node):
            first = node.value.value.strip().split("\n", 1)[0]  # type: ignore[attr-defined]
            if QUESTION.match(first):
                yield Finding(name, node.lineno, "question", first)


def check_parameters(name: str, node: Function, qualified: str, text: str) -> Iterator[Finding]:
    """Parameters of a public function that its docstring does not describe."""
    parameters = [p.arg for p in _parameters(node)]
    if len(parameters) <= UNDESCRIBED or _is_verb(name, node):
        return
    section = text.partition("Args:\n")[2]
    missing = [p for p in parameters if not re.search(rf"^ +\*{{0,2}}{p}:", section, re.MULTILINE)]
    if missing:
        yield Finding(name, node.lineno, "args", f"{qualified} does not describe {', '.join(missing)}")
    returns = node.returns
    nothing = isinstance(returns, ast.Constant) and returns.value is None
    if not nothing and not re.search(r"^(Returns|Yields):\n", text, re.MULTILINE):
        yield Finding(name, node.lineno, "args", f"{qualified} has no section Returns or Yields")


def check_sizes(name: str, tree: ast.Module, source: str) -> Iterator[Finding]:
    """Functions and modules that are too long, and functions with too many parameters."""
    lines = len(source.splitlines()) - sum(_docstring_lines(node) for node, _ in _documented(tree))
    if lines > MODULE_LINES and name not in EXCEPTIONS:
        yield Finding(name, 1, "length", f"{lines} lines without docstrings, at most {MODULE_LINES}")
    for node, qualified in _documented(tree):
        if not isinstance(node, Function) or f"{name}:{qualified}" in EXCEPTIONS or _is_verb(name, node):
            continue
        assert node.end_lineno is not None
        length = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
        if length > FUNCTION_LINES:
            yield Finding(
                name, node.lineno, "length", f"{qualified} has {length} lines, at most {FUNCTION_LINES}"
            )
        if len(parameters := _parameters(node)) > PARAMETERS:
            text = f"{qualified} has {len(parameters)} parameters, at most {PARAMETERS}"
            yield Finding(name, node.lineno, "params", text)


def check_imports(name: str, tree: ast.Module) -> Iterator[Finding]:
    """Private modules and names that are imported from another package."""
    package = ["mmdbench", *name.split("/")[:-1]] if name.startswith("adapters/") else name.split("/")[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("mmdbench"):
            continue
        parts = (node.module or "").split(".")
        for whole in ([*parts, alias.name] for alias in node.names):
            for i, part in enumerate(whole):
                # A private part belongs to the package that holds it, and to all below that.
                private = part.startswith("_") and not part.startswith("__") and part != "_version"
                if private and package[:i] != whole[:i]:
                    yield Finding(name, node.lineno, "private", ".".join(whole))


def check_tests(root: Path) -> Iterator[Finding]:
    """Private names that a test uses without a reason, imports of other tests, questions and riddles."""
    # The modules of a private package have public names, which its own tests may use.
    allowed = {path.parent.name for folder in FOLDERS for path in (root / folder).rglob("_*/__init__.py")}
    for path in sorted((root / "tests").rglob("*.py")):
        source = path.read_text("utf-8")
        name, lines = path.relative_to(root).as_posix(), source.splitlines()
        reasons = [i for i, line in enumerate(lines) if re.search("#.*private", line, re.IGNORECASE)]
        explained = "\n".join(line for i in reasons for line in lines[i : i + 5])
        tree = ast.parse(source)
        for node, qualified in _documented(tree):
            first = (ast.get_docstring(node) or "").split("\n", 1)[0]
            line = getattr(node, "lineno", 1)
            if QUESTION.match(first):
                yield Finding(name, line, "question", first)
            for kind, pattern in WORDS.items():
                if match := re.search(pattern, f"{qualified} {first}".replace("_", " "), re.IGNORECASE):
                    yield Finding(name, line, "word", f"{kind}: {match[0]!r}")
        for node in ast.walk(tree):
            for dotted in _names_used(node):
                if dotted.startswith("test_"):
                    yield Finding(name, node.lineno, "tests", dotted)
                private = {part for part in dotted.split(".") if re.match("_[^_]", part)} - allowed
                if any(not re.search(rf"\b{part}\b", explained) for part in private):
                    yield Finding(name, node.lineno, "private", dotted)


def _names_used(node: ast.AST) -> Iterator[str]:
    """Names that are imported, or given as text to setattr and its like; attributes are ruff's SLF001."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        yield from (module + alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "delattr", "getattr")):
        given = (a.value for a in node.args[:2] if isinstance(a, ast.Constant))
        yield from (value for value in given if isinstance(value, str))


def check_circles(root: Path) -> Iterator[Finding]:
    """The first circle of imports between modules, found wherever an import is written."""
    places: dict[str, str] = {}
    for path in [p for folder in FOLDERS for p in (root / folder).rglob("*.py")]:
        name = path.relative_to(root).as_posix()
        dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        places[dotted if dotted.startswith("mmdbench") else f"mmdbench.{dotted}"] = name
    imports = {module: _imported(root / name, places) - {module} for module, name in places.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        yield Finding(places[circle[0]], 1, "circle", " ← ".join(circle))


def _imported(path: Path, modules: dict[str, str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in modules else node.module for name in names)
    return found & set(modules)


def _documented(tree: ast.Module) -> Iterator[tuple[ast.Module | ast.ClassDef | Function, str]]:
    yield tree, "module"
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        parent, prefix = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node, prefix + node.name
                waiting.append((node, f"{prefix}{node.name}."))
            else:
                waiting.append((node, prefix))


def _parameters(node: Function) -> list[ast.arg]:
    a = node.args
    both = [
        *a.posonlyargs,
        *a.args,
        *a.kwonlyargs,
        *([a.vararg] if a.vararg else []),
        *([a.kwarg] if a.kwarg else []),
    ]
    return [p for p in both if p.arg not in ("self", "cls")]


def _is_public(name: str, qualified: str) -> bool:
    parts = [*name.removesuffix(".py").split("/"), *qualified.split(".")]
    return not any(part.startswith("_") and part != "__init__" for part in parts)


def _is_verb(name: str, node: Function) -> bool:
    """A verb of the command line: typer reads its options, and their help, from its signature."""
    return name.startswith("mmdbench/cli/") and "_shared" not in name and not node.name.startswith("_")


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _docstring_lines(node: ast.Module | ast.ClassDef | Function) -> int:
    if not node.body or not _is_text(node.body[0]):
        return 0
    first = node.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
