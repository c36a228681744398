"""System prompts that cannot be shipped: from a file, a cache, or their authors' repository.

The exact text is identified by its length and SHA-256. A repository is fetched as an archive of
one commit and searched for the text with this checksum, so a moved file is found, and a changed
archive cannot give another prompt.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmdbench.errors import MmdbenchError, ModelError, UsageError
from mmdbench.system.files import make_folder, write_atomic

__all__ = [
    "INTERLEAVE",
    "PROMPT_ENV",
    "THINK",
    "KnownPrompt",
    "SystemPrompt",
    "cache_folder",
    "system_prompt",
]

PROMPT_ENV = "MMDBENCH_CLEAR_PROMPT"
"""Variable for CLEAR's prompt if a card names none: a file, a copy of the repository, or its address."""

_LARGEST_ARCHIVE = 512 * 2**20
_LARGEST_FILE = 2**20
_SUFFIXES = (".py", ".txt", ".md")
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class KnownPrompt:
    """A prompt by its checksum, and the repository (an https address) and commit that hold it."""

    name: str
    characters: int
    sha256: str
    commit: str
    repository: str = ""

    def is_text(self, text: str) -> bool:
        """True if a text is exactly this prompt."""
        return len(text) == self.characters and _sha256(text) == self.sha256


INTERLEAVE = KnownPrompt(
    name="interleave",
    characters=1820,
    sha256="f30b4828bd78a54b750765737af340016069fee98f3e935206332d26b5809857",
    commit="411d6bd",
)
"""CLEAR's instruction from its training: to ask for a restoration if needed, and to answer."""

THINK = KnownPrompt(
    name="think",
    characters=227,
    sha256="5eff00888fdf6b912c3f9a80711933dd35cdd164d167cba6b2a5889c04d7b565",
    commit="056b5fd",
    repository="https://github.com/ByteDance-Seed/Bagel",
)
"""BAGEL's instruction to reason before it answers."""


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """The prompt in use; `exact` is True for the authors' own text."""

    text: str
    sha256: str
    exact: bool
    source: str


def cache_folder() -> Path:
    """The folder of cached prompts: below `$MMDBENCH_CACHE`, `$XDG_CACHE_HOME` or `~/.cache`."""
    named = os.environ.get("MMDBENCH_CACHE")
    if named:
        return Path(named) / "prompts"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mmdbench" / "prompts"


def system_prompt(
    known: KnownPrompt, *, file: Path | None = None, repository: str = "", offline: bool = False
) -> SystemPrompt:
    """The prompt from a file or a copy of the repository if given, else from the cache or fetched.

    A text file may hold another prompt; it is used with `exact` False. Raises ModelError with
    instructions if the prompt is not found.
    """
    if file is not None:
        return _from_path(known, file)
    cached = cache_folder() / f"{known.sha256}.txt"
    if cached.is_file():
        text = _read(cached)
        if known.is_text(text):
            return SystemPrompt(text, known.sha256, exact=True, source="cache")
    repository = repository or known.repository
    if offline or not repository:
        why = "nothing may be downloaded" if offline else "no repository is named"
        raise ModelError(f"The system prompt {known.name!r} was not found and {why}.", hint=_how(known))
    text = _fetch(known, repository)
    make_folder(cached.parent)
    write_atomic(cached, text)
    return SystemPrompt(text, known.sha256, exact=True, source=f"{repository}@{known.commit}")


def _how(known: KnownPrompt) -> str:
    return (
        f"Name a file that holds it, or a copy of the authors' repository at commit {known.commit}, with "
        "--set system_prompt_file=PATH; or the repository's address, with "
        "--set prompt_repository=https://github.com/OWNER/NAME"
        f"{f'; {PROMPT_ENV} may hold either' if known is INTERLEAVE else ''}. "
        f"The text has {known.characters} characters and SHA-256 {known.sha256}."
    )


def _from_path(known: KnownPrompt, path: Path) -> SystemPrompt:
    if path.is_dir() or path.suffix == ".py":
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            text = _search(known, file.name, _read(file))
            if text is not None:
                return SystemPrompt(text, known.sha256, exact=True, source=file.name)
        raise ModelError(f"The system prompt {known.name!r} was not found in {path}.", hint=_how(known))
    text = _read(path)
    # Editors add and remove the last newline; the checksum tells which it was.
    for variant in (text, text.rstrip("\n"), text.rstrip("\n") + "\n"):
        if known.is_text(variant):
            return SystemPrompt(variant, known.sha256, exact=True, source=path.name)
    if not text.strip():
        raise UsageError(f"The system prompt file {path} is empty.")
    return SystemPrompt(text, _sha256(text), exact=False, source=path.name)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the system prompt in {path}: {error}.") from error


def _fetch(known: KnownPrompt, repository: str) -> str:
    if not repository.startswith(("https://", "http://")):
        raise UsageError(f"The repository {repository!r} must be an https address.")
    address = f"{repository.rstrip('/').removesuffix('.git')}/archive/{known.commit}.tar.gz"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 (checked above)
            data = answer.read(_LARGEST_ARCHIVE + 1)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise MmdbenchError(f"Cannot download {address}: {reason}.", hint=_how(known)) from error
    if len(data) > _LARGEST_ARCHIVE:
        raise ModelError(f"{address} is larger than {_LARGEST_ARCHIVE // 2**20} MiB.", hint=_how(known))
    for name, content in _members(data, address):
        text = _search(known, name, content)
        if text is not None:
            return text
    raise ModelError(f"The system prompt {known.name!r} was not found in {address}.", hint=_how(known))


def _members(data: bytes, address: str) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and member.name.endswith(_SUFFIXES) and member.size <= _LARGEST_FILE:
                    yield member.name, file.read().decode("utf-8", "replace")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"{address} is not a complete archive: {error}.") from error


def _search(known: KnownPrompt, name: str, content: str) -> str | None:
    """The prompt, if it is the text of a file or, in Python, one of its string constants."""
    if known.is_text(content):
        return content
    if not name.endswith(".py"):
        return None
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return None
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return next((value for value in constants if isinstance(value, str) and known.is_text(value)), None)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
