"""Every error that mmdbench raises on purpose.

::

    MmdbenchError                  what happened, where, what to do; an exit code
    ├── UsageError                 the call cannot be done as asked               (exit 2)
    │   ├── UnknownNameError       no such corruption, level, benchmark, model …
    │   ├── ImageInputError        an image of a kind that cannot be corrupted
    │   ├── IntensityError         an intensity outside its range, or not a number
    │   ├── ParamsError            recorded parameters that do not fit the corruption
    │   └── IncomparableError      two runs that differ in what must be equal
    ├── SpecError                  corruptions_spec.yaml is not valid              (exit 2)
    ├── DataError                  a file of a benchmark is not valid              (exit 2)
    │   ├── ImageDecodeError       a cell that holds no readable picture
    │   └── ShapeError             a value in a file that is of another type
    ├── DownloadError              a file could not be downloaded                  (exit 4)
    ├── MissingExtraError          an optional package is needed; names the install (exit 2)
    ├── MixedInstallationError     mmdbench and its adapters are of two checkouts  (exit 2)
    ├── ModelError                 the model under test cannot be loaded or asked  (exit 4)
    ├── StoreError                 a run's files cannot be read or written         (exit 4)
    │   └── LockedError            another process is writing there
    └── IncompleteError            too many planned answers are missing            (exit 4)

SlowWarning is a warning: something takes much longer than with an optional package.

Exit codes of the command line: 0 done, 1 a bad result (`check` found a regression, `verify` found
damage), 2 usage or incomparable, 3 cannot tell, 4 incomplete or infrastructure, 70 unexpected (a
fault to report), 130 stopped by Ctrl-C, SIGTERM or SIGHUP, 141 the reader of the output is gone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataError",
    "DownloadError",
    "ImageDecodeError",
    "ImageInputError",
    "IncomparableError",
    "IncompleteError",
    "IntensityError",
    "LockedError",
    "MissingExtraError",
    "MixedInstallationError",
    "MmdbenchError",
    "ModelError",
    "ParamsError",
    "ShapeError",
    "SlowWarning",
    "SpecError",
    "StoreError",
    "UnknownNameError",
    "UsageError",
    "install_command",
]


class MmdbenchError(Exception):
    """Anything that mmdbench refuses or fails to do.

    `message` says what happened and where, `hint` what to do about it; `str(error)` is both.
    `exit_code` is that of the command line.
    """

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[MmdbenchError], args: tuple[object, ...], state: dict[str, object]) -> MmdbenchError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(MmdbenchError, ValueError):
    """The call cannot be done as asked."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not known; the message offers the nearest names that are.

    Args:
        kind: The kind of thing that was named, such as "benchmark".
        name: The name that was given.
        known: The names that exist.
        see: The command that lists them.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], *, see: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        spelled = {k.lower(): k for k in self.known}
        near = [spelled[k] for k in difflib.get_close_matches(str(name).lower(), spelled, n=2, cutoff=0.55)]
        if near:
            hint = "Did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif len(self.known) <= 20:
            hint = "Known: " + ", ".join(self.known) + "."
        else:
            hint = ""
        if see:
            hint = f"{hint} See: {see}".strip()
        super().__init__(f"Unknown {kind} {name!r}.", hint=hint)


class ImageInputError(UsageError, TypeError):
    """An image of a type, dtype or shape that cannot be corrupted."""


class IntensityError(UsageError):
    """An intensity that is not a number in (0, 1], or in [0, 1] where it is drawn."""


class ParamsError(UsageError):
    """Recorded parameters that do not fit the corruption they are given to."""


class IncomparableError(UsageError):
    """Two runs differ in something that must be equal before they are compared."""


class SpecError(MmdbenchError):
    """`corruptions_spec.yaml` is not valid."""

    exit_code = 2


class DataError(MmdbenchError):
    """A benchmark's file is not valid; the message names file, line, column and index where known."""

    exit_code = 2


class ImageDecodeError(DataError):
    """A cell or file that holds no readable picture."""


class ShapeError(DataError, ValueError):
    """A value in a file is of another type; the message names its place, what it must be and what it is."""


class DownloadError(MmdbenchError):
    """A file could not be downloaded; the hint says if trying again can help."""


def install_command(extra: str) -> str:
    """The command that installs an extra, from an index and in a copy of the repository."""
    return f"pip install 'mmdbench[{extra}]' (in a copy of the repository: pip install -e '.[{extra}]')"


class MissingExtraError(MmdbenchError, ImportError):
    """An optional package is missing; the hint is the exact install command."""

    exit_code = 2

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        verb = "are" if " and " in what else "is"
        super().__init__(f"{what} {verb} not installed.", hint=f"Run: {install_command(extra)}")


class MixedInstallationError(MmdbenchError, ImportError):
    """The package `mmdbench` comes from one checkout and `mmdbench.adapters` from another."""

    exit_code = 2

    def __init__(self, package: object, adapters: object) -> None:
        super().__init__(
            f"mmdbench was imported from {package}, but its adapters from {adapters}.",
            hint="Run in the checkout that you mean, in its own environment: pip install -e .",
        )


class ModelError(MmdbenchError):
    """The model under test cannot be loaded or asked."""


class StoreError(MmdbenchError):
    """A run's files cannot be read or written."""


class LockedError(StoreError):
    """Another process is writing to this folder."""


class IncompleteError(MmdbenchError):
    """Too many of the planned answers are missing for a result."""


class SlowWarning(UserWarning):
    """Something takes much longer than it would with an optional package; the message says how long."""
