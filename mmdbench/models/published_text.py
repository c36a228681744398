"""Texts of other authors that cannot be shipped: from a file, a cache, or their public repository.

The exact text is identified by its length and SHA-256. A repository is asked for one file at one commit, or,
where the file is not known, for an archive of that commit, and the text with this checksum is taken from it.
Python files are parsed and never executed.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmdbench.errors import DownloadError, ModelError, UsageError
from mmdbench.models.card_secrets import refuse_secrets_of_address
from mmdbench.system.environment import cache_folder, is_offline
from mmdbench.system.files import make_folder, write_atomic

__all__ = ["FoundText", "PublishedText", "fetch_published_text", "find_published_text"]

_LARGEST_ARCHIVE = 512 * 2**20
_LARGEST_FILE = 2**20
_SUFFIXES = (".py", ".txt", ".md")
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PublishedText:
    """A text by its checksum, and the place where its authors published it.

    `repository` is an https address, `file` a path in it at `commit`. With `collapsed` the length and the
    checksum are those of the text with its white space collapsed to single blanks. `option` is the option of
    a card that names a file of the user's, `variable` the environment variable that does.
    """

    name: str
    characters: int
    sha256: str
    commit: str
    repository: str = ""
    file: str = ""
    collapsed: bool = False
    option: str = "system_prompt_file"
    variable: str = ""

    def is_text(self, text: str) -> bool:
        """True if a text is exactly this one."""
        forms = (" ".join(text.split()), re.sub(r"\s+", " ", text)) if self.collapsed else (text,)
        return any(len(form) == self.characters and _sha256(form) == self.sha256 for form in forms)

    def named_by_user(self) -> str:
        """The file or address in this text's environment variable, empty if it has or holds none."""
        return os.environ.get(self.variable, "") if self.variable else ""


@dataclass(frozen=True, slots=True)
class FoundText:
    """The text in use and its own checksum; `exact` is True for the authors' own text."""

    text: str
    sha256: str
    exact: bool
    source: str


def find_published_text(
    known: PublishedText, *, file: Path | None = None, repository: str = "", offline: bool | None = None
) -> FoundText:
    """The text from a file or a copy of the repository if given, else from the cache or fetched.

    A text file may hold another text; it is used with `exact` False.

    Args:
        known: The text.
        file: A file that holds it, or a folder with a copy of the repository; None for the variable's.
        repository: An https address to fetch it from; empty for the variable's, else the authors' own.
        offline: True to download nothing; None for what the environment says.

    Returns:
        The text, and where it was found.

    Raises:
        ModelError: The text was not found, with instructions.
        DownloadError: The repository cannot be read.
        UsageError: The file cannot be read or is empty, or the address is none.
    """
    named = known.named_by_user() if file is None and not repository else ""
    if named.startswith(("https://", "http://")):
        repository = named
    elif named:
        file = Path(named).expanduser()
    if file is not None:
        return _from_path(known, file)
    cached = cache_folder() / "prompts" / f"{known.sha256}.txt"
    if cached.is_file():
        text = _read(cached)
        if known.is_text(text):
            return FoundText(text, _sha256(text), exact=True, source="cache")
    repository = repository or known.repository
    if offline is None:
        offline = is_offline()
    if offline or not repository:
        why = "nothing may be downloaded" if offline else "no repository is named"
        raise ModelError(f"The text {known.name!r} was not found and {why}.", hint=_how(known))
    text = fetch_published_text(known, repository)
    make_folder(cached.parent)
    write_atomic(cached, text)
    return FoundText(text, _sha256(text), exact=True, source=f"{repository}@{known.commit}")


def fetch_published_text(known: PublishedText, repository: str = "") -> str:
    """The text, read from a repository at its commit (that of its authors if none is given).

    Raises DownloadError if the repository cannot be read, ModelError if it does not hold the text.
    """
    repository = (repository or known.repository).rstrip("/").removesuffix(".git")
    if not repository.startswith(("https://", "http://")):
        raise UsageError(f"The repository {repository!r} must be an https address.")
    refuse_secrets_of_address(repository, f"The repository of the text {known.name!r}")
    place = f"raw/{known.commit}/{known.file}" if known.file else f"archive/{known.commit}.tar.gz"
    address = f"{repository}/{place}"
    data = _download(known, address, _LARGEST_FILE if known.file else _LARGEST_ARCHIVE)
    files = [(known.file, data.decode("utf-8", "replace"))] if known.file else _members(data, address)
    for name, content in files:
        text = _search(known, name, content)
        if text is not None:
            return text
    raise ModelError(f"The text {known.name!r} was not found in {address}.", hint=_how(known))


def _how(known: PublishedText) -> str:
    return (
        f"Name a file that holds it, or a copy of the authors' repository at commit {known.commit}, with "
        f"--set {known.option}=PATH; or the repository's address, with "
        "--set prompt_repository=https://github.com/OWNER/NAME"
        f"{f'; {known.variable} may hold either' if known.variable else ''}. "
        f"The text has {known.characters} characters and SHA-256 {known.sha256}"
        f"{', its white space collapsed' if known.collapsed else ''}."
    )


def _from_path(known: PublishedText, path: Path) -> FoundText:
    if path.is_dir() or path.suffix == ".py":
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            text = _search(known, file.name, _read(file))
            if text is not None:
                return FoundText(text, _sha256(text), exact=True, source=file.name)
        raise ModelError(f"The text {known.name!r} was not found in {path}.", hint=_how(known))
    text = _read(path)
    # Editors add and remove the last newline; the checksum tells which it was.
    for variant in (text, text.rstrip("\n"), text.rstrip("\n") + "\n"):
        if known.is_text(variant):
            return FoundText(variant, _sha256(variant), exact=True, source=path.name)
    if not text.strip():
        raise UsageError(f"The file {path} of the text {known.name!r} is empty.")
    return FoundText(text, _sha256(text), exact=False, source=path.name)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the text in {path}: {error}.") from error


def _download(known: PublishedText, address: str, most_bytes: int) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 (checked above)
            data = bytes(answer.read(most_bytes + 1))
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"Cannot download {address}: {reason}.", hint=_how(known)) from error
    if len(data) > most_bytes:
        raise ModelError(f"{address} is larger than {most_bytes // 2**20} MiB.", hint=_how(known))
    return data


def _members(data: bytes, address: str) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and member.name.endswith(_SUFFIXES) and member.size <= _LARGEST_FILE:
                    yield member.name, file.read().decode("utf-8", "replace")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"{address} is not a complete archive: {error}.") from error


def _search(known: PublishedText, name: str, content: str) -> str | None:
    """The text, if it is the content of a file or, in Python, one of its string constants."""
    content = content.replace("\r\n", "\n")
    if known.is_text(content):
        return content
    if not name.endswith(".py"):
        return None
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return None
    return next((text for text in map(_constant, ast.walk(tree)) if text and known.is_text(text)), None)


def _constant(node: ast.AST) -> str | None:
    """The value of a text in a program: a literal, or literals joined with `+`."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _constant(node.left), _constant(node.right)
        return None if left is None or right is None else left + right
    return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
