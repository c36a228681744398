"""Local copies of remote folders that hold builds and runs.

An object store replaces whole objects: it has no appending, no renaming and no locks. So the work is
done in a local copy, and whole files are uploaded: the results first, then `manifest.json`, and last
`remote.json`, which lists every file with its digest. A reader takes only files that agree with that
list, so a folder that is only partly uploaded is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mmdbench.errors import LockedError, StoreError
from mmdbench.system.files import REPLY_FILES, make_folder
from mmdbench.system.locks import folder_lock
from mmdbench.system.remote.inputs import download_file, size_and_digests
from mmdbench.system.remote.listing import LISTING, CopyState, SyncedFile, files_there, read_listing
from mmdbench.system.remote.uploads import Uploads, file_state, files_in, uploading
from mmdbench.system.remote.urls import RemotePath, local_path, open_remote, remote_errors, version_mark

__all__ = ["is_uploaded", "reading_copy", "working_copy"]

_WAIT_SECONDS = 600.0


@contextmanager
def reading_copy(url: str) -> Iterator[Path]:
    """A local copy of a remote build or run, as it is now.

    Another process of this machine that reads the same folder waits. Raises StoreError if there is no
    such folder, or if it is only partly uploaded.
    """
    here = local_path(url)
    if here is not None:
        yield here
        return
    remote = open_remote(url)
    with _lock(remote, "read", _WAIT_SECONDS):
        folder = make_folder(remote.cache / "read" / remote.name)
        _mirror(remote, folder, CopyState.load(folder.parent / ".state.json"))
        yield folder


@contextmanager
def working_copy(url: str, show: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
    """A local folder whose files are uploaded every few minutes, and when the block ends, however it ends.

    Files that another machine uploaded are copied here first. `show` is called with one line about
    each upload. Raises LockedError if another process of this machine uses the folder (machines do not
    see each other), StoreError if a file was changed on both sides.
    """
    here = local_path(url)
    if here is not None:
        yield here
        return
    remote = open_remote(url)
    with _lock(remote, "work"):
        folder = make_folder(remote.cache / "work" / remote.name)
        uploads = Uploads(remote, folder, CopyState.load(folder.parent / ".state.json"))
        uploads.listed = _take_over(remote, folder, uploads.state)
        try:
            with uploading(uploads, show):
                yield folder
        except BaseException:
            # The error that ended the work matters more than one of the last upload.
            try:
                _finish(uploads, show)
            except (StoreError, OSError) as error:
                show(str(error))
            raise
        _finish(uploads, show)


def is_uploaded(copies: Path) -> bool:
    """True if every file of the working copies in a folder is as it was uploaded."""
    known = CopyState.load(copies / ".state.json").files
    found = {name: folder / name for folder in copies.glob("[!.]*") for name in files_in(folder)}
    return all(name in known and known[name].here == file_state(path) for name, path in found.items())


def _finish(uploads: Uploads, show: Callable[[str], None]) -> None:
    try:
        sent = uploads.send()
    except StoreError as error:
        raise StoreError(
            error.message,
            hint=f"{error.hint} Nothing is lost: the work is in {uploads.folder}; to continue, run the same "
            "command again.",
        ) from error
    if sent:
        show(f"{sent} files uploaded to {uploads.remote.shown}; the working copy is {uploads.folder}")


@contextmanager
def _lock(remote: RemotePath, kind: str, wait_s: float = 0.0) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(remote.cache / kind, "working", wait_s=wait_s))
        except LockedError as error:
            raise LockedError(
                f"Another process of this machine is using {remote.shown}.",
                hint="Wait for it to end, stop it, or name another URL.",
            ) from error
        yield


def _mirror(remote: RemotePath, folder: Path, state: CopyState) -> None:
    """Make the local folder equal to the remote one: listed files only, if there is a list."""
    there = files_there(remote)
    if not there:
        raise StoreError(
            f"There is nothing at {remote.shown}.", hint="Name the folder of a build or of a run."
        )
    listed = read_listing(_listing(remote), remote.shown) if LISTING in there else None
    wanted = there if listed is None else {name: there.get(name) for name in listed}
    for name in [name for name in files_in(folder) if name not in wanted]:
        (folder / name).unlink()
    for name, info in wanted.items():
        expected = (listed or {}).get(name)
        if info is None or (expected and expected["size"] != info["size"]):
            raise StoreError(
                f"{remote.shown} is only partly uploaded: {name} is not yet what {LISTING} says.",
                hint="Another process may be uploading now, or was stopped. Run the command again in a "
                "minute; if this does not help, run the command that writes there again.",
            )
        digest = expected["sha256"] if expected else ""
        known = state.files.get(name)
        if (
            known
            and (known.mark, known.here) == (version_mark(info), file_state(folder / name))
            and (digest in ("", known.sha256))
        ):
            continue
        state.files[name] = _get(remote, folder, name, info, digest)
        state.save()


def _take_over(remote: RemotePath, folder: Path, state: CopyState) -> bytes:
    """Copy here the files that other machines uploaded, and return the remote list of files.

    Files that only this machine changed stay.
    """
    there = files_there(remote)
    listing = _listing(remote) if there.pop(LISTING, None) else b""
    for name in [name for name in state.files if name not in there]:
        del state.files[name]  # removed remotely, so it is uploaded again
    # Replies first: if they are in conflict, no other file is replaced either.
    for name, info in sorted(there.items(), key=lambda item: not _holds_replies(item[0])):
        known, here = state.files.get(name, SyncedFile()), file_state(folder / name)
        if known.mark == version_mark(info) and here is not None:
            continue
        if here is not None and here != known.here:
            state.files[name] = _own_upload(remote, folder, name, info, known)
        elif here is not None and _holds_replies(name):
            state.files[name] = _newer_replies(remote, folder, name, info)
        else:
            state.files[name] = _get(remote, folder, name, info)
        state.save()
    return listing


def _holds_replies(name: str) -> bool:
    return PurePosixPath(name).match(REPLY_FILES)


def _newer_replies(remote: RemotePath, folder: Path, name: str, info: dict[str, Any]) -> SyncedFile:
    """Replace local replies by the remote ones, if these hold every local reply; else a conflict.

    Two machines that work on one folder at once overwrite each other's replies.
    """
    aside = folder.parent / ".aside"
    digest = download_file(remote, remote.within(name), aside, info)
    if not _lines(folder / name) <= _lines(aside):
        aside.unlink()
        raise _conflict(remote, folder, name)
    aside.replace(folder / name)
    return SyncedFile(version_mark(info), int(info["size"]), digest, file_state(folder / name) or (-1, -1))


def _lines(path: Path) -> set[bytes]:
    # Sets, because a merge sorts the lines; whole lines, because a resumed run drops a torn last one.
    with path.open("rb") as file:
        return {hashlib.sha256(line).digest() for line in file if line.endswith(b"\n")}


def _own_upload(
    remote: RemotePath, folder: Path, name: str, info: dict[str, Any], known: SyncedFile
) -> SyncedFile:
    """Accept a remote file that this machine uploaded before it was stopped; any other is a conflict."""
    aside = folder.parent / ".aside"
    digest = download_file(remote, remote.within(name), aside, info)
    aside.unlink()
    if digest in (known.sending, known.sha256):
        return SyncedFile(version_mark(info), int(info["size"]), digest)
    size, digests = size_and_digests(folder / name)
    if digest == digests["sha256"]:
        return SyncedFile(version_mark(info), size, digest, file_state(folder / name) or (-1, -1))
    raise _conflict(remote, folder, name)


def _conflict(remote: RemotePath, folder: Path, name: str) -> StoreError:
    return StoreError(
        f"{name} of {remote.shown} was changed by another machine, and here in {folder} as well.",
        hint=f"Nothing was overwritten. If both are shards of one run, merge them: "
        f"mmdbench merge {folder} {remote.shown} -o NEW. To discard the local one, remove {folder}.",
    )


def _get(remote: RemotePath, folder: Path, name: str, info: dict[str, Any], digest: str = "") -> SyncedFile:
    sha256 = download_file(remote, remote.within(name), folder / name, info, digest)
    return SyncedFile(version_mark(info), int(info["size"]), sha256, file_state(folder / name) or (-1, -1))


def _listing(remote: RemotePath) -> bytes:
    with remote_errors("read", remote):
        return bytes(remote.files.cat_file(remote.within(LISTING)))
