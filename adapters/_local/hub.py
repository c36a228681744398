"""Files of models on the Hugging Face Hub: named in a card, listed, downloaded and found in the Hub's cache.

huggingface_hub lists a repository, knows token, mirror and cache, and downloads small files. A large file is
downloaded by `mmdbench.benches.download` into its place in that cache, because huggingface_hub starts a file
again whose download was killed (docs/decisions/downloads.md).
"""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import util
from pathlib import Path

from mmdbench.benches.download import FetchSettings, download_to
from mmdbench.errors import (
    DownloadError,
    MissingExtraError,
    MmdbenchError,
    ModelError,
    StoreError,
    UsageError,
)
from mmdbench.models.registry import MissingFile
from mmdbench.system.digest import file_hash
from mmdbench.system.files import make_folder
from mmdbench.system.inner_paths import plain_name

__all__ = ["HubFiles", "HubSource", "cached_files", "fetch_hub_files", "missing_hub_files", "parse_source"]

_SOURCE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^:@]+))?(:(?P<path>[^:]+))?")

Pick = Callable[[Sequence[str]], tuple[str, ...]]
"""Chooses files of a repository from the names of all; raises an MmdbenchError where it cannot."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the Hub at a revision (branch, tag or commit), and a file or folder in it."""

    repo: str
    revision: str = "main"
    path: str = ""

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf:{self.repo}{revision}{self.path and f':{self.path}'}"


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files that a model needs of one repository."""

    source: HubSource
    pick: Pick


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file of a repository that is not in the cache; `sha256` is empty for a small file kept in git."""

    source: HubSource
    name: str
    bytes: int
    sha256: str
    commit: str
    blobs: Path = field(repr=False)

    @property
    def left(self) -> int:
        """Bytes that are still to be downloaded."""
        part = self.blobs / f"{self.sha256}.part"
        done = part.stat().st_size if self.sha256 and part.is_file() else 0
        return max(0, self.bytes - done)


def parse_source(text: str) -> HubSource | None:
    """The repository that `hf:owner/name[@revision][:path]` names; None for any other text.

    >>> parse_source("hf:owner/name@v1:rl/model.safetensors")
    HubSource(repo='owner/name', revision='v1', path='rl/model.safetensors')
    """
    if not text.startswith("hf:"):
        return None
    found = _SOURCE.fullmatch(text)
    if not found:
        raise UsageError(
            f"{text!r} names no repository of the Hugging Face Hub.",
            hint="Write hf:owner/name, hf:owner/name@revision or hf:owner/name:path.",
        )
    return HubSource(found["repo"], found["revision"] or "main", (found["path"] or "").strip("/"))


def cached_files(files: HubFiles, *, guess: bool) -> tuple[Path, ...] | None:
    """The paths of the files in the Hub's cache; None if they are not all there. Asks no server.

    Args:
        files: The repository, and the choice of its files.
        guess: Choose among the files in the cache where no listing of the repository is in it.
    """
    _require_hub()
    import huggingface_hub as hub
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    source = files.source
    try:
        tree = hub.get_cached_repo_tree(source.repo, revision=source.revision)
        names = [file.path for file in tree]
    except CachedRepoTreeNotFoundError:
        names = []
    if not names and not guess:
        return None
    chosen = files.pick(names) if names else ()
    try:
        patterns = [glob.escape(name) for name in chosen] or None
        found = hub.snapshot_download(
            source.repo, revision=source.revision, allow_patterns=patterns, local_files_only=True
        )
    except FileNotFoundError:  # LocalEntryNotFoundError, or a snapshot that lacks some of them
        return None
    folder = Path(found)
    if not chosen:
        chosen = files.pick(
            sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        )
    paths = tuple(folder / name for name in chosen)
    return paths if all(path.is_file() for path in paths) else None


def missing_hub_files(files: HubFiles) -> tuple[MissingFile, ...]:
    """The files that are not in the cache, with the bytes that are left to download."""
    listed = _missing(files)
    return tuple(MissingFile(file.name, str(file.source), file.left) for file in listed)


def fetch_hub_files(files: HubFiles, settings: FetchSettings) -> None:
    """Download the files that are missing into the Hub's cache; a large one resumes where it stopped.

    Args:
        files: The repository, and the choice of its files.
        settings: Settings of the downloads.

    Raises:
        DownloadError: The Hub cannot be reached, or refuses.
        StoreError: The disk has too little room.
        ModelError: The repository lacks a file.
    """
    import huggingface_hub as hub

    missing = _missing(files)
    if not missing:
        return
    source, need = files.source, sum(file.left for file in missing)
    free = shutil.disk_usage(make_folder(missing[0].blobs)).free
    if need > free:
        raise StoreError(
            f"{missing[0].blobs} has {free / 1e9:.1f} GB left, but {need / 1e9:.1f} GB are needed.",
            hint="Make room, or set HF_HOME to another folder.",
        )
    for file in missing:
        if file.sha256:
            _fetch_large(file, settings)
    with _hub_errors(source):
        patterns = [glob.escape(file.name) for file in missing]
        hub.snapshot_download(source.repo, revision=source.revision, allow_patterns=patterns)


def _missing(files: HubFiles) -> list[_Listed]:
    if cached_files(files, guess=False) is not None:
        return []
    import huggingface_hub as hub

    source = files.source
    with _hub_errors(source):
        info = hub.HfApi().model_info(source.repo, revision=source.revision, files_metadata=True)
    siblings = {file.rfilename: file for file in info.siblings or ()}
    blobs = Path(hub.constants.HF_HUB_CACHE) / f"models--{source.repo.replace('/', '--')}" / "blobs"
    listed = []
    for name in files.pick(tuple(siblings)):
        file = siblings[name]
        if isinstance(hub.try_to_load_from_cache(source.repo, name, revision=info.sha), str):
            continue
        sha256 = plain_name(blobs, file.lfs.sha256, source.repo, ModelError) if file.lfs else ""
        listed.append(_Listed(source, name, file.size or 0, sha256, str(info.sha), blobs))
    return listed


def _fetch_large(file: _Listed, settings: FetchSettings) -> None:
    """Download a file to its place among the cache's blobs, where huggingface_hub then finds it."""
    import huggingface_hub as hub

    url = hub.hf_hub_url(file.source.repo, file.name, revision=file.commit)
    with _hub_errors(file.source):
        hub.get_hf_file_metadata(url)  # an account without access is refused here, with the reason
    token = hub.get_token()
    authorization = f"Bearer {token}" if token else ""
    settings = replace(settings, authorization=authorization, elsewhere="Set HF_HOME to another folder.")

    def is_right(part: Path) -> bool:
        return file_hash(part, "sha256") == file.sha256

    download_to(file.blobs / file.sha256, file.name, url, settings, is_right, strict=True)


def _require_hub() -> None:
    if util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("huggingface_hub", "clear")


@contextmanager
def _hub_errors(source: HubSource) -> Iterator[None]:
    """Errors of huggingface_hub as ours; none of its texts, which are long and hold request ids."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{source.repo}"
    try:
        yield
    except MmdbenchError:
        raise
    except errors.GatedRepoError as error:
        hint = f"Accept its terms at {page} and set HF_TOKEN to a token of that account."
        raise DownloadError(f"{source} is gated.", hint=hint) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{source.repo} has no revision {source.revision!r} ({page}).") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise DownloadError(
            f"Cannot download from {source}: {page} answered {status}.",
            hint=_STATUS_HINTS.get(status, _AGAIN),
        ) from error
    except Exception as error:  # the client is httpx or httpx2, by the version of huggingface_hub
        what = str(error).strip().split("\n")[0] or type(error).__name__
        raise DownloadError(f"Cannot download from {source} at {page}: {what}.", hint=_AGAIN) from error


_AGAIN = (
    "Run the same command again to resume. HF_ENDPOINT names a mirror, https_proxy a proxy; "
    "a folder with the files may be named instead."
)
_STATUS_HINTS = {
    401: "The name may be wrong; a private or gated repository needs HF_TOKEN.",
    403: "The account has no access: accept the terms on that page and set HF_TOKEN.",
    404: "The name may be wrong, or the repository is private and needs HF_TOKEN.",
}
