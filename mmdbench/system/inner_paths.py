"""Paths inside a folder that a file names: one rule for manifests, logs, archives, object stores and TSVs.

A name that climbs out of its folder would make a stranger's folder read, replace or remove files elsewhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

from mmdbench.errors import MmdbenchError, StoreError
from mmdbench.system.digest import bytes_digest

__all__ = ["inner_path", "is_plain_name", "name_of_at_most", "path_within", "plain_name", "refuse_links"]

_SEPARATOR = re.compile(r"[/\\]")


def is_plain_name(name: object) -> bool:
    r"""True if a name with slashes means a file inside its folder, on any system.

    >>> is_plain_name("images/7.jpg"), is_plain_name("../7.jpg"), is_plain_name("a//b"), is_plain_name("C:x")
    (True, False, False, False)
    """
    if not isinstance(name, str) or "\0" in name or PureWindowsPath(name).drive:
        return False
    return _is_utf8(name) and not {"", ".", ".."} & {*_SEPARATOR.split(name)}


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_name(folder: Path, name: object, named_in: object, kind: type[MmdbenchError] = StoreError) -> str:
    """The name of a file inside a folder of the user's own, where links are followed.

    Args:
        folder: The folder that the name is relative to.
        name: The name, with slashes.
        named_in: The file that holds the name, for the message.
        kind: The class of the error.

    Returns:
        The name.

    Raises:
        StoreError: The name is absolute, climbs out of the folder or is not UTF-8.
    """
    if isinstance(name, str) and not _is_utf8(name):
        raise kind(f"{named_in} names the file {name!r}, which is not UTF-8.", hint="Rename the file.")
    if not is_plain_name(name):
        raise kind(
            f"{named_in} names the file {name!r}, which is not inside {folder}.",
            hint="Nothing was read or changed there. Ask for a folder without it.",
        )
    return str(name)


def inner_path(folder: Path, name: object, named_in: object, kind: type[MmdbenchError] = StoreError) -> Path:
    """The path of a file inside a folder that a manifest, log, journal or archive describes.

    Args:
        folder: The folder that the name is relative to.
        name: The name, with slashes.
        named_in: The file that holds the name, for the message.
        kind: The class of the error.

    Returns:
        The path; nothing needs to exist there.

    Raises:
        StoreError: The name is absolute, climbs out of the folder, or a part of it is a link.
    """
    path = folder
    for part in plain_name(folder, name, named_in, kind).split("/"):
        path /= part
        if path.is_symlink():
            raise _link(path, kind)
    return path


def name_of_at_most(size: int, name: str) -> str:
    """A part of a file's name in at most `size` bytes of UTF-8; a longer one is cut, and ends with a digest.

    >>> name_of_at_most(20, "model-a"), name_of_at_most(20, "a-model-with-a-long-name")
    ('model-a', 'a-model-wit-323389e3')
    """
    data = name.encode()
    if len(data) <= size:
        return name
    return f"{data[: size - 9].decode(errors='ignore')}-{bytes_digest(data)[:8]}"


def path_within(folder: Path, path: Path) -> Path | None:
    """A path without `..`, if it is inside a folder by its name; links below the folder are followed.

    >>> path_within(Path("/data"), Path("/data/a/../b.jpg")).as_posix()
    '/data/b.jpg'
    >>> path_within(Path("/data"), Path("/data/../b.jpg"))
    """
    root, full = (os.path.normpath(Path.cwd() / one) for one in (folder, path))
    if not full.startswith(root.rstrip(os.sep) + os.sep):
        return None
    name = os.path.relpath(full, root)
    return folder / name if is_plain_name(name) else None


def refuse_links(folder: Path) -> None:
    """Raise StoreError if anything below a folder of our own making is neither a file nor a folder."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    refuse_links(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise _link(Path(entry.path), StoreError)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"Cannot read {folder}: {error.strerror}.") from error


def _link(path: Path, kind: type[MmdbenchError]) -> MmdbenchError:
    what = "a link" if path.is_symlink() else "neither a file nor a folder"
    return kind(
        f"{path} is {what}. Folders of runs and builds hold files and folders only.",
        hint="Put the file itself there, or remove the link. The folder as a whole may be a link.",
    )
