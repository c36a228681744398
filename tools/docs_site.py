"""Writes the folder that the site is built from: docs/, files of the repository, references to the code.

`python tools/docs_site.py` writes build/docs, and any builder that reads mkdocs.yml makes the site from it.
The front page is README.md; the contribution guide, the changelog and the measurements are the
repository's own files. The command line's reference is made from the commands themselves, the Python
reference from docstrings. A link to any other file of the repository leads to a page that shows that
file, so that the site needs no server of the repository.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from docs_reference import cli_reference, python_reference

ROOT = Path(__file__).resolve().parents[1]
PREPARED = ROOT / "build" / "docs"
# Repository file → page of the site.
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "SECURITY.md": "about/reporting.md",
    "CHANGELOG.md": "reference/changelog.md",
    "benchmarks/RESULTS.md": "reference/results.md",
}
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".yml": "yaml",
    ".yaml": "yaml",
    ".md": "markdown",
    ".sh": "bash",
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def page_of(path: str) -> str:
    """The page or file of the site for a file of the repository."""
    if path in MOVED:
        return MOVED[path]
    if path.startswith("docs/"):
        inside = path.removeprefix("docs/")
        return posixpath.join(inside, "README.md") if (ROOT / path).is_dir() else inside
    return f"files/{path}.md"


def relinked(text: str, source: str, wanted: set[str]) -> str:
    """A page's text with its links changed to pages of the site.

    Files that need a page of their own are added to `wanted`. Raises ValueError for a link to a missing
    file.
    """
    here = posixpath.dirname(page_of(source))

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if target.startswith("docs/reference/"):  # made here
            return match[1] if source.startswith("docs/") else target.removeprefix("docs/")
        if not (ROOT / target).exists():
            raise ValueError(f"{source} links to {match[1]}, and there is no {target}.")
        page = page_of(target)
        if page.startswith("files/"):
            wanted.add(target)
        return posixpath.relpath(page, here or ".")

    # Code stays as it is: a fence may hold what looks like a link.
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(moved, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(moved, text[end:])])


def shown(path: str) -> str:
    """A page that shows a file, or lists a folder."""
    target = ROOT / path
    if target.is_dir():
        names = sorted(
            str(p.relative_to(ROOT)) for p in target.rglob("*") if p.is_file() and ".pyc" not in p.name
        )
        return f"# {path}\n\n" + "\n\n".join(_fenced(name, "## ") for name in names)
    return _fenced(path, "# ")


def _fenced(path: str, heading: str) -> str:
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"{heading}{path}\n\n~~~~{language}\n{(ROOT / path).read_text('utf-8').rstrip()}\n~~~~\n"


def made_pages() -> dict[str, str]:
    """Every page of the site, by its place in it."""
    pages, wanted = {}, set[str]()
    own = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    for source in [*MOVED, *own]:
        pages[page_of(source)] = relinked((ROOT / source).read_text("utf-8"), source, wanted)
    pages["reference/cli.md"] = cli_reference()
    pages.update(python_reference())
    pages.update({f"files/{path}.md": shown(path) for path in sorted(wanted)})
    return pages


def prepare(folder: Path) -> None:
    """Write every page and the other files of docs/ into `folder`, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md"))
    for page, text in made_pages().items():
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    prepare(PREPARED)
