"""The package as a stranger gets it: what it imports, what it exports, what is in the wheel."""

from __future__ import annotations

import ast
import importlib
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import mmdbench

ROOT = Path(__file__).parents[2]
HEAVY = ("cv2", "numpy", "pandas", "torch", "PIL", "yaml", "rich")


def run(*args, cwd=None):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=True, cwd=cwd).stdout


@pytest.mark.parametrize(
    "code", ["import mmdbench", "import mmdbench; mmdbench.errors", "import mmdbench.models"]
)
def test_importing_loads_nothing_heavy(code):
    loaded = run("-c", f"import sys; {code}; print(*[m for m in {HEAVY} if m in sys.modules])").split()
    assert loaded == []


def test_help_answers_at_once():
    least, shown = (cpu_seconds(*words) for words in (["-c", "import typer"], ["-m", "mmdbench", "--help"]))
    assert shown < 3 * least  # it takes 1.5 times as long, and 7 times if it imports all verbs


def cpu_seconds(*args):
    """The least of three CPU times of a new interpreter."""
    return min(_cpu_seconds(args) for _ in range(3))


def _cpu_seconds(args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def copy(tmp_path):
    """A second checkout: the package and its adapters."""
    for name in ("mmdbench", "adapters"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return (tmp_path / "copy").resolve()


# The finder that `pip install -e .` makes maps the name to the folder of one checkout.
MAPPED = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "mmdbench.adapters":
            folder = sys.argv[1]
            return spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])

sys.meta_path.insert(0, Finder())
import mmdbench
try:
    import mmdbench.adapters.chance
    print("imported", mmdbench.adapters.__file__)
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_a_second_checkout_does_not_load_the_adapters_of_the_first(copy):
    said = run("-c", MAPPED, str(ROOT / "adapters"), cwd=copy)
    assert said.startswith("MixedInstallationError")
    assert str(copy / "mmdbench") in said
    assert str(ROOT / "adapters") in said
    assert "pip install -e ." in said


def test_a_checkout_and_an_installed_copy_load_their_own_adapters(copy):
    assert run("-c", MAPPED, str(copy / "adapters"), cwd=copy).startswith("imported")
    (copy / "adapters").rename(copy / "mmdbench" / "adapters")  # as in a wheel
    assert run("-c", MAPPED, str(copy / "mmdbench" / "adapters"), cwd=copy).startswith("imported")


def test_the_public_surface_is_exactly_this():
    names = [
        "AsyncModel",
        "BuildOptions",
        "BuildSummary",
        "Chain",
        "CheckResult",
        "CheckRow",
        "DropMonitor",
        "EvaluateOptions",
        "Forecast",
        "Model",
        "ModelCard",
        "Outcome",
        "Progress",
        "Report",
        "Request",
        "Run",
        "RunComparison",
        "ShownTable",
        "TableSet",
        "Value",
        "__version__",
        "batched",
        "benches",
        "build",
        "cite",
        "compare",
        "corrupt",
        "corruptions",
        "errors",
        "evaluate",
        "forecast",
        "get_corruption_names",
        "load_report",
        "load_run",
        "scoring",
    ]
    assert sorted(mmdbench.__all__) == names
    assert all(hasattr(mmdbench, name) for name in mmdbench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'corupt'"):
        _ = mmdbench.corupt


def test_the_reference_shows_the_public_surface(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from docs_reference import PAGES

    # What the integrations hold needs their packages, and none of it is a name of mmdbench itself.
    modules = [m for title, _, ms in PAGES.values() for m in ms if not m.startswith("integrations.")]
    shown = {name for m in modules for name in importlib.import_module(f"mmdbench.{m}").__all__}
    assert set(mmdbench.__all__) - shown == {"__version__", *(set(mmdbench.__all__) & set(modules))}
    assert set(importlib.import_module("mmdbench.library").__all__) <= set(mmdbench.__all__)


def test_adapters_are_reached_by_name_only():
    # import-linter cannot hold this: the adapters' folder lies outside of the package's.
    for path in (ROOT / "mmdbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [n for n in names if n.startswith("mmdbench.adapters")], path


def test_errors_are_exported_and_drawn():
    tree = mmdbench.errors.__doc__
    exported = {name: getattr(mmdbench.errors, name) for name in mmdbench.errors.__all__}
    errors = {name: kind for name, kind in exported.items() if isinstance(kind, type)}
    assert set(exported) - set(errors) == {"install_command"}
    for name, kind in errors.items():
        assert issubclass(kind, (mmdbench.errors.MmdbenchError, Warning))
        assert name in tree


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the project: building writes into the folder it builds, and other tests build too."""
    copy = tmp_path_factory.mktemp("source") / "project"
    skip = shutil.ignore_patterns(".*", "runs", "*.egg-info", "golden", "__pycache__")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=skip)
    return copy


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The folder with the source distribution, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "-o", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(built):
    return next(built.glob("*.tar.gz"))


def test_the_version_is_written_in_one_place():
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "mkdocs.yml"):
        assert mmdbench.__version__ not in (ROOT / name).read_text("utf-8"), name
    assert f"## {mmdbench.__version__} " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_supported_pythons_are_the_same_wherever_they_are_named():
    pythons = (ROOT / ".ci" / "pythons").read_text("utf-8").split()
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.findall(r"Python :: (3\.\d+)", project) == pythons
    assert f'requires-python = ">={pythons[0]}"' in project
    assert f'python_version = "{pythons[0]}"' in project  # the one that mypy checks by
    for page in ("README.md", "docs/start.md", "CONTRIBUTING.md"):
        assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / page).read_text("utf-8"), page


@pytest.mark.slow
def test_an_index_would_take_both_files(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_the_source_distribution_is_what_was_written(sdist):
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "NOTICE",
        "adapters/baseline.py",
        "mmdbench/__init__.py",
    ):
        assert name in names
    assert not [n for n in names if n.startswith((".", "runs/", "build/", "site/")) or n.endswith(".pyc")]
    assert sdist.stat().st_size < 12_000_000


@pytest.mark.slow
def test_the_wheel_holds_what_it_must(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "mmdbench/py.typed",
        "mmdbench/corruptions_spec.yaml",
        "mmdbench/benches/catalog.toml",
        "mmdbench/benches/data/mini.tsv",
        "mmdbench/benches/data/mini_NOTICE.md",
        "mmdbench/adapters/baseline.py",
        "mmdbench/adapters/cards.toml",
        "mmdbench/adapters/data/picodet.onnx",
    ):
        assert name in names
    assert {n.split("/")[0].split("-")[0] for n in names} == {"mmdbench"}
    assert any(n.endswith("licenses/NOTICE") for n in names)
    assert not [n for n in names if "tests" in n.split("/")]
    python = {str(p.relative_to(ROOT)) for p in (ROOT / "mmdbench").rglob("*.py")}
    python |= {
        f"mmdbench/adapters/{p.relative_to(ROOT / 'adapters')}" for p in (ROOT / "adapters").rglob("*.py")
    }
    assert python <= names, python - names


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_installed_copy_works(kind, source, installer, request, tmp_path):
    """The wheel was built from the source distribution, as pip builds one: it stands for both."""
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if kind == "editable":
        installer.install(source, "-e", python=str(python))
    else:
        wheel = str(request.getfixturevalue("wheel"))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", wheel]
        subprocess.run(pip, check=True, capture_output=True)
    # The dependencies are lent by the environment that runs the tests; mmdbench itself is not.
    lend = tmp_path / "lend.py"
    lend.write_text(
        "import sys\n"
        f"sys.path += [p for p in {sys.path!r} if 'site-packages' in p]\n"
        "import mmdbench\n"
        "from mmdbench.models import adapter_names, open_model, find_card\n"
        "from mmdbench.corruptions.spec_file import load_spec\n"
        "from mmdbench.benches import open_bench\n"
        "import numpy as np\n"
        "assert 'baseline' in adapter_names()\n"
        "open_model(find_card('chance'))\n"
        "assert len(load_spec().corruptions) == 16\n"
        "assert len(open_bench('mini').questions) == 160\n"
        "mmdbench.corrupt(np.zeros((8, 8, 3), np.uint8), 'graffiti', level='hard')\n"
        "print(mmdbench.__file__, mmdbench.__version__)\n"
        "from mmdbench.cli import app\n"
        "app(['list', 'corruptions', '--json'], standalone_mode=False)\n"
    )
    out = subprocess.run(
        [str(python), str(lend)], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert str(source if kind == "editable" else tmp_path / "env") in out
    assert f" {mmdbench.__version__}\n" in out
    assert "watermark_damage" in out
