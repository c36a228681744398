"""Generations of a run's replies: rounds of asking the same requests, of which the newest counts.

`eval --fresh` and `--max-age` start a generation. Its number is kept with each new reply and, with the
time from which replies count as answered, in the manifest; replies of earlier generations stay in the
files. A reply that keeps no time, as those of early versions, is older than any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from mmdbench.run.inputs import RunSettings
from mmdbench.system.shapes import read_as

__all__ = ["FIRST", "Generation", "next_generation", "read_generation", "time_stamp"]

_RESUMES = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation: the `number` of its replies, and the time `since` which replies count as answered.

    `begun` is the time of the `--fresh` that started it, and `finished` is False until all of its
    requests are answered. Times are texts as `time_stamp` makes them, empty for none.
    """

    number: int = 0
    since: str = ""
    begun: str = ""
    finished: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The generation as a JSON-able dict."""
        return asdict(self)


FIRST = Generation()
"""The generation of a run that was never asked anew."""


def read_generation(manifest: Mapping[str, Any] | None) -> Generation:
    """The generation that a run's manifest names; the first one, of number 0, if it names none."""
    return read_as(Generation, (manifest or {}).get("generation", {}), "generation")


def next_generation(manifest: Mapping[str, Any] | None, settings: RunSettings) -> Generation:
    """The generation that a call asks for.

    A call with `fresh` continues one that such a call started within a day and did not finish, so that
    a stopped command is resumed by the same command.

    Args:
        manifest: The manifest of the run's folder; None if it is new.
        settings: The settings of the call.

    Returns:
        The generation of the replies to come.
    """
    now, earlier = datetime.now(timezone.utc), read_generation(manifest)
    if settings.fresh:
        if not earlier.finished and earlier.begun >= time_stamp(now - _RESUMES):
            return earlier
        return Generation(earlier.number + 1, time_stamp(now), time_stamp(now), finished=False)
    if settings.max_age is not None:
        since = max(earlier.since, time_stamp(now - settings.max_age))
        return replace(earlier, number=earlier.number + 1, since=since)
    return earlier


def time_stamp(time: datetime) -> str:
    """A time as text, in UTC and to the millisecond: such texts are in the order of their times."""
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds")
