"""`make release` on a copy of a repository, and the workflow that uploads what it makes."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
LOG = """# Changelog

## 0.1.0 (not yet released)

- A new ability.

## 0.0.9 (2026-01-01)

- An old one.
"""


def git(folder, *words):
    identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path):
    """A small repository with a version, a changelog and a list of Pythons."""
    folder = tmp_path / "repository"
    for name in ("mmdbench", ".ci"):
        (folder / name).mkdir(parents=True)
    (folder / "mmdbench" / "_version.py").write_text('"""The version."""\n\n__version__ = "0.1.0"\n')
    (folder / "CHANGELOG.md").write_text(LOG)
    (folder / ".ci" / "pythons").write_text("2.6\n3.11\n")
    (folder / ".gitignore").write_text("/dist/\n")
    (folder / "pyproject.toml").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def release(repository, python_3_11, monkeypatch):
    """The script, at work on the small repository; `ran` has the programs that it would start."""
    spec = importlib.util.spec_from_file_location("release_script", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran = []

    def run(*words, cwd=None):
        words = [str(word) for word in words]
        module.ran.append(words)
        if words[1:3] == ["-m", "build"]:
            source, out = Path(words[-1]), Path(words[words.index("--outdir") + 1])
            out.mkdir()
            version = module.version_in((source / "mmdbench" / "_version.py").read_text("utf-8"))
            (out / f"mmdbench-{version}.tar.gz").write_text("sdist")
            (out / f"mmdbench-{version}-py3-none-any.whl").write_text("wheel")
        if "cyclonedx_py" in words:
            Path(words[words.index("--output-file") + 1]).write_text("{}")

    monkeypatch.setattr(module, "ROOT", repository)
    monkeypatch.setattr(module, "run", run)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["release.py", *words])
        module.main()

    module.call = call
    return module


@pytest.fixture
def python_3_11(tmp_path, monkeypatch):
    """A program `python3.11` on the path, whatever the machine has."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.11").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(shutil.which('git')).parent}")


def test_a_release_has_its_version_its_date_and_its_files(release, repository, capsys):
    release.call("1.2.0")
    today = dt.datetime.now(dt.timezone.utc).date()
    changed = git(repository, "diff", "--unified=0")
    lines = [line for line in changed.splitlines() if re.match(r"[+-][^+-]", line)]
    assert lines == [
        "-## 0.1.0 (not yet released)",
        f"+## 1.2.0 ({today})",
        '-__version__ = "0.1.0"',
        '+__version__ = "1.2.0"',
    ]
    files = sorted(file.name for file in (repository / "dist").iterdir())
    assert files == ["mmdbench-1.2.0-py3-none-any.whl", "mmdbench-1.2.0.cdx.json", "mmdbench-1.2.0.tar.gz"]
    tools = [words[2] for words in release.ran if words[1] == "-m"]
    assert tools == ["build", "twine", "venv", "pip", "mmdbench", "pip", "cyclonedx_py"]
    shown = capsys.readouterr().out
    assert "Python 2.6: not on this machine" in shown
    assert "git tag v1.2.0" in shown

    git(repository, "commit", "-qam", "Release 1.2.0")
    git(repository, "tag", "v1.2.0")
    release.call("--tagged", "v1.2.0")  # what the workflow runs
    assert not git(repository, "status", "--porcelain")
    release.call("--changes")
    assert capsys.readouterr().out.endswith("- A new ability.\n")


def test_a_dry_run_does_all_of_it_and_changes_nothing(release, repository, capsys):
    (repository / "CHANGELOG.md").write_text(LOG + "edited\n")
    release.call("1.2.0", "--dry-run")
    assert (repository / "CHANGELOG.md").read_text("utf-8") == LOG + "edited\n"
    assert not (repository / "dist").exists()
    assert "mmdbench-1.2.0.tar.gz" in capsys.readouterr().out
    assert len(release.ran) == 7


def test_what_is_not_committed_is_not_released(release, repository):
    (repository / "CHANGELOG.md").write_text(LOG + "edited\n")
    with pytest.raises(SystemExit, match=r"Commit or undo[^$]+CHANGELOG.md"):
        release.call("1.2.0")
    assert not release.ran


@pytest.mark.parametrize(
    ("words", "log", "why"),
    [
        (["1.2"], LOG, "A version looks like"),
        (["0.0.9"], LOG, "The tag v0.0.9 exists"),
        (["1.2.0"], LOG.replace("not yet released", "2026-02-02"), "must have one section"),
        (["1.2.0"], LOG.replace("- A new ability.\n", ""), "no section with text for 1.2.0"),
        (["--tagged", "v9.9.9"], LOG, "The tag v9.9.9 is not v0.1.0"),
        (["--tagged", "v0.1.0"], LOG, "calls 0.1.0 not yet released"),
        (["--changes", "3.0.0"], LOG, "no section with text for 3.0.0"),
    ],
)
def test_a_wrong_release_is_refused_before_anything_is_built(words, log, why, release, repository):
    (repository / "CHANGELOG.md").write_text(log)
    git(repository, "commit", "-qam", "second", "--allow-empty")
    git(repository, "tag", "v0.0.9")
    with pytest.raises(SystemExit, match=why):
        release.call(*words)
    assert not release.ran


def test_a_tool_that_fails_ends_the_release():
    spec = importlib.util.spec_from_file_location("release_script", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit, match="This failed with 3"):
        module.command("-c", "raise SystemExit(3)")


def test_the_workflow_uploads_without_a_stored_token():
    jobs = WORKFLOW["jobs"]
    assert WORKFLOW[True] == {"push": {"tags": ["v*.*.*"]}}  # YAML 1.1 reads `on` as true
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert jobs["pypi"]["environment"]["name"] == "pypi"
    assert jobs["pypi"]["steps"][-1] == {"uses": "pypa/gh-action-pypi-publish@release/v1"}
    assert jobs["build"]["permissions"]["attestations"] == "write"
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert (jobs["pypi"]["needs"], jobs["github"]["needs"]) == ("build", "pypi")
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert not [step for step in steps if "${{" in step.get("run", "")]
    attested = [s["with"] for s in steps if s.get("uses") == "actions/attest@v4"]
    assert attested[0] == {"subject-path": "dist/*"}
    assert attested[1]["sbom-path"].startswith("sbom/")


def test_the_workflow_tries_every_supported_python():
    (setup,) = [s for s in WORKFLOW["jobs"]["build"]["steps"] if "setup-python" in s.get("uses", "")]
    assert setup["with"]["python-version"].split() == (ROOT / ".ci" / "pythons").read_text("utf-8").split()
