"""Folders of builds and runs elsewhere, and their copies here.

An object store replaces whole objects, and knows neither appending nor renaming nor locks. So the
work is done in a copy here, and whole files are uploaded: those of the results first, then
`manifest.json`, and last `remote.json`, which lists every file with its digest. Who reads takes only
what agrees with that list, so what is half uploaded is refused.
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
from mmdbench.system.remote.inputs import bytes_of, download
from mmdbench.system.remote.listing import LISTING, Known, State, files_there, read_listing
from mmdbench.system.remote.uploads import Uploads, files_in, now_and_then, seen
from mmdbench.system.remote.urls import Place, explained, local_path, mark_of, open_place

__all__ = ["reading_copy", "working_copy"]

_WAIT_SECONDS = 600.0


def _silent(text: str) -> None:
    """Tell nobody."""


@contextmanager
def reading_copy(url: str) -> Iterator[Path]:
    """A build's or run's folder elsewhere, copied here as it is now; what is half uploaded is refused.

    Another process of this machine that reads the same waits. Raises StoreError.
    """
    here = local_path(url)
    if here is not None:
        yield here
        return
    place = open_place(url)
    with _lock(place, "read", _WAIT_SECONDS):
        folder = make_folder(place.cache / "read" / place.name)
        _mirror(place, folder, State.load(folder.parent / ".state.json"))
        yield folder


@contextmanager
def working_copy(url: str, tell: Callable[[str], None] = _silent) -> Iterator[Path]:
    """A folder here whose whole files are uploaded: every few minutes, and however the block ends.

    What another machine uploaded comes here first. Raises LockedError if another process of this
    machine works on it; machines do not see each other. Raises StoreError if both changed a file.
    """
    here = local_path(url)
    if here is not None:
        yield here
        return
    place = open_place(url)
    with _lock(place, "work"):
        folder = make_folder(place.cache / "work" / place.name)
        uploads = Uploads(place, folder, State.load(folder.parent / ".state.json"))
        uploads.listed = _take_over(place, folder, uploads.state)
        try:
            with now_and_then(uploads, tell):
                yield folder
        except BaseException:
            # Why the work ended matters more than why its last part could not be uploaded.
            try:
                _finish(uploads, tell)
            except (StoreError, OSError) as error:
                tell(str(error))
            raise
        _finish(uploads, tell)


def _finish(uploads: Uploads, tell: Callable[[str], None]) -> None:
    try:
        sent = uploads.send()
    except StoreError as error:
        raise StoreError(
            error.message,
            hint=f"{error.hint} Nothing is lost: the work lies in {uploads.folder}, and the same command "
            "goes on.",
        ) from error
    if sent:
        tell(f"{sent} files uploaded to {uploads.place.shown}; the working copy is {uploads.folder}")


@contextmanager
def _lock(place: Place, kind: str, wait_s: float = 0.0) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(place.cache / kind, "working", wait_s=wait_s))
        except LockedError as error:
            raise LockedError(
                f"Another process of this machine is using {place.shown}.",
                hint="Wait for it to end, stop it, or name another URL.",
            ) from error
        yield


def _mirror(place: Place, folder: Path, state: State) -> None:
    """Make the folder what is there: listed files only, if there is a list."""
    there = files_there(place)
    if not there:
        raise StoreError(
            f"There is nothing at {place.shown}.", hint="Name the folder of a build or of a run."
        )
    listed = read_listing(_listing(place), place.shown) if LISTING in there else None
    wanted = there if listed is None else {name: there.get(name) for name in listed}
    for name in [name for name in files_in(folder) if name not in wanted]:
        (folder / name).unlink()
    for name, info in wanted.items():
        expected = (listed or {}).get(name)
        if info is None or (expected and expected["size"] != info["size"]):
            raise StoreError(
                f"{place.shown} is only half uploaded: {name} is not yet what {LISTING} says.",
                hint="It may be being written now, or uploading broke off. Run the command again in a "
                "minute; if it stays so, run the command that writes there again.",
            )
        digest = expected["sha256"] if expected else ""
        known = state.files.get(name)
        if (
            known
            and (known.mark, known.here) == (mark_of(info), seen(folder / name))
            and (digest in ("", known.sha256))
        ):
            continue
        state.files[name] = _get(place, folder, name, info, digest)
        state.save()


def _take_over(place: Place, folder: Path, state: State) -> bytes:
    """Bring here what others uploaded; what only this machine changed stays. Returns the list there."""
    there = files_there(place)
    listing = _listing(place) if there.pop(LISTING, None) else b""
    for name in [name for name in state.files if name not in there]:
        del state.files[name]  # removed there, so it is uploaded again
    # Replies first: where they are in conflict, nothing else is replaced either.
    for name, info in sorted(there.items(), key=lambda item: not _holds_replies(item[0])):
        known, here = state.files.get(name, Known()), seen(folder / name)
        if known.mark == mark_of(info) and here is not None:
            continue
        if here is not None and here != known.here:
            state.files[name] = _ours(place, folder, name, info, known)
        elif here is not None and _holds_replies(name):
            state.files[name] = _more_replies(place, folder, name, info)
        else:
            state.files[name] = _get(place, folder, name, info)
        state.save()
    return listing


def _holds_replies(name: str) -> bool:
    return PurePosixPath(name).match(REPLY_FILES)


def _more_replies(place: Place, folder: Path, name: str, info: dict[str, Any]) -> Known:
    """What is there, if it holds every reply that is here; two machines at once replace each other's."""
    aside = folder.parent / ".aside"
    digest = download(place, place.within(name), aside, info)
    if not _lines(folder / name) <= _lines(aside):
        aside.unlink()
        raise _conflict(place, folder, name)
    aside.replace(folder / name)
    return Known(mark_of(info), int(info["size"]), digest, seen(folder / name) or (-1, -1))


def _lines(path: Path) -> set[bytes]:
    # A merge sorts the lines anew, and who goes on with a run cuts a torn last one off.
    with path.open("rb") as file:
        return {hashlib.sha256(line).digest() for line in file if line.endswith(b"\n")}


def _ours(place: Place, folder: Path, name: str, info: dict[str, Any], known: Known) -> Known:
    """What is there, if this machine uploaded it and was stopped before it could note so; else a conflict."""
    aside = folder.parent / ".aside"
    digest = download(place, place.within(name), aside, info)
    aside.unlink()
    if digest in (known.sending, known.sha256):
        return Known(mark_of(info), int(info["size"]), digest)
    size, digests = bytes_of(folder / name)
    if digest == digests["sha256"]:
        return Known(mark_of(info), size, digest, seen(folder / name) or (-1, -1))
    raise _conflict(place, folder, name)


def _conflict(place: Place, folder: Path, name: str) -> StoreError:
    return StoreError(
        f"{name} of {place.shown} was changed by another machine, and here in {folder} as well.",
        hint=f"Nothing was overwritten. If both are shards of one run, put them together: "
        f"mmdbench merge {folder} {place.shown} -o NEW. To drop what is here, remove {folder}.",
    )


def _get(place: Place, folder: Path, name: str, info: dict[str, Any], digest: str = "") -> Known:
    sha256 = download(place, place.within(name), folder / name, info, digest)
    return Known(mark_of(info), int(info["size"]), sha256, seen(folder / name) or (-1, -1))


def _listing(place: Place) -> bytes:
    with explained("read", place):
        return bytes(place.files.cat_file(place.within(LISTING)))
