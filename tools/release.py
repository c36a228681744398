"""Prepare a release, up to the upload: make release VERSION=1.2.0 (or DRY=1 to change nothing here).

In a copy of the committed files it writes the version and dates the changelog's section, builds the source
distribution and the wheel from it, checks both, installs the wheel with each Python of `.ci/pythons` that the
machine has and measures with it, and writes a bill of materials of what was installed. Without --dry-run the
version, the changelog and dist/ are then copied here: commit, tag and push them, and the workflow
`.github/workflows/release.yml` makes the files again from the tag (--tagged) and uploads them. The tools come
with pip install '.[release]'.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION_FILE = "mmdbench/_version.py"
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "not yet released"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("release", nargs="?", default="", help="The version; default: that of the package.")
    parser.add_argument("--dry-run", action="store_true", help="Do all of it, and change nothing here.")
    parser.add_argument(
        "--tagged", default="", metavar="TAG", help="Make the files of this tag, stamped before."
    )
    parser.add_argument("--version", action="store_true", help="Print the version of the package.")
    parser.add_argument(
        "--changes", action="store_true", help="Print the changelog's section of the version."
    )
    given = parser.parse_args()
    current = version_in((ROOT / VERSION_FILE).read_text("utf-8"))
    if given.version:
        print(current)
    elif given.changes:
        print(section((ROOT / CHANGELOG).read_text("utf-8"), given.release or current))
    elif given.tagged and given.tagged != f"v{current}":
        raise SystemExit(f"The tag {given.tagged} is not v{current}, the version in {VERSION_FILE}")
    else:
        prepare(given.release or current, dry_run=given.dry_run, stamped=bool(given.tagged))


def prepare(version: str, *, dry_run: bool, stamped: bool) -> None:
    """Build and check a release in a copy, and bring its files here unless it is a dry run.

    Args:
        version: The version.
        dry_run: Change nothing here.
        stamped: The committed files have the version and the date.
    """
    changed = git("status", "--porcelain", "--untracked-files=no").decode()
    if changed and not dry_run:
        raise SystemExit(f"Commit or undo these changes first:\n{changed}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "source"
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as tar:
            tar.extractall(copy, filter="data")
        if not stamped:
            stamp(copy, version)
        elif UNRELEASED in (copy / CHANGELOG).read_text("utf-8").partition(f"## {version} ")[2][:40]:
            raise SystemExit(f"{CHANGELOG} calls {version} {UNRELEASED}: run make release before you tag")
        dist = copy / "dist"
        command("-m", "build", "--outdir", dist, copy)
        command("-m", "twine", "check", "--strict", *dist.iterdir())
        try_wheel(next(dist.glob("*.whl")), Path(folder), dist / f"mmdbench-{version}.cdx.json")
        names = sorted(file.name for file in dist.iterdir())
        if not dry_run:
            for name in (VERSION_FILE, CHANGELOG):
                shutil.copy(copy / name, ROOT / name)
            shutil.rmtree(ROOT / "dist", ignore_errors=True)
            shutil.copytree(dist, ROOT / "dist")
    print("Made and checked:", *names)
    if dry_run:
        print("This was a dry run: nothing was changed.")
    elif not stamped:
        print(
            f"Next: git commit -am 'Release {version}'; git tag v{version}; git push origin main v{version}"
        )


def stamp(copy: Path, version: str) -> None:
    """Write the version and date the changelog's section; refuse a version that has been released."""
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        raise SystemExit(f"A version looks like 1.2.0 or 1.2.0rc1, got {version}")
    if git("tag", "--list", f"v{version}").strip():
        raise SystemExit(f"The tag v{version} exists: choose another version")
    log = (copy / CHANGELOG).read_text("utf-8")
    heads = re.findall(rf"(?m)^## (\S+) \({UNRELEASED}\)$", log)
    if len(heads) != 1:
        raise SystemExit(f"{CHANGELOG} must have one section '## VERSION ({UNRELEASED})', found {len(heads)}")
    today = dt.datetime.now(dt.timezone.utc).date()
    log = log.replace(f"## {heads[0]} ({UNRELEASED})", f"## {version} ({today})")
    section(log, version)
    (copy / CHANGELOG).write_text(log, encoding="utf-8")
    file = copy / VERSION_FILE
    text = file.read_text("utf-8")
    file.write_text(text.replace(f'"{version_in(text)}"', f'"{version}"'), encoding="utf-8")


def try_wheel(wheel: Path, folder: Path, materials: Path) -> None:
    """Install the wheel with each Python at hand and measure with it; list what the newest one installed.

    Args:
        wheel: The wheel.
        folder: A folder for environments.
        materials: The file for the bill of materials, CycloneDX JSON.
    """
    tried = ""
    for version in (ROOT / ".ci" / "pythons").read_text("utf-8").split():
        if not _is_here(f"python{version}"):
            print(f"Python {version}: not on this machine", flush=True)
            continue
        python = folder / version / "bin" / "python"
        run(f"python{version}", "-m", "venv", folder / version)
        run(python, "-m", "pip", "install", "--quiet", wheel)
        eval_words = (
            "eval",
            "--model",
            "chance",
            "--bench",
            "mini",
            "--level",
            "clean,hard",
            "--sample",
            "8",
        )
        run(python, "-m", "mmdbench", *eval_words, "--quiet", "-o", folder / f"run-{version}", cwd=folder)
        print(f"Python {version}: works", flush=True)
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
        tried = version
    if not tried:
        raise SystemExit("None of the Pythons in .ci/pythons is on this machine")
    pyproject = ROOT / "pyproject.toml"
    words = (
        "--mc-type",
        "library",
        "--pyproject",
        pyproject,
        "--output-reproducible",
        "--output-file",
        materials,
    )
    command("-m", "cyclonedx_py", "environment", *words, folder / tried / "bin" / "python")


def _is_here(python: str) -> bool:
    words = [python, "-c", "import ensurepip, venv"]
    return (
        bool(shutil.which(python)) and not subprocess.run(words, check=False, capture_output=True).returncode
    )


def section(log: str, version: str) -> str:
    """The text of a version's section in the changelog."""
    found = re.search(rf"(?ms)^## {re.escape(version)} \([^\n]*\)\n(.*?)(?=^## |\Z)", log)
    if not found or not found[1].strip():
        raise SystemExit(f"{CHANGELOG} has no section with text for {version}")
    return found[1].strip()


def version_in(text: str) -> str:
    """The version that a text of `_version.py` sets."""
    return re.findall(r'__version__ = "(.+)"', text)[0]


def git(*words: str) -> bytes:
    """What a git command prints."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout  # noqa: S607


def command(*words: object) -> None:
    """Run this Python with these words."""
    run(sys.executable, *words)


def run(*words: object, cwd: Path = ROOT) -> None:
    """Run a program; end with its exit status if it fails."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"This failed with {done.returncode}: {' '.join(map(str, words))}")


if __name__ == "__main__":
    main()
