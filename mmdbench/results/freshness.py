"""Ages of a run's replies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mmdbench.results.graded_run import RunResults
from mmdbench.run.generations import read_generation

__all__ = ["Freshness", "asked_note", "freshness", "freshness_line", "stale_problem"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Counts of the replies that a run is graded by, and the time of the oldest.

    `new` ones were asked by the latest call of eval; `behind` ones are older than `--fresh` or
    `--max-age` allows, and not asked again yet; `undated` ones keep no time. `oldest` is in ISO format,
    empty without a time.
    """

    replies: int
    new: int
    behind: int
    undated: int
    oldest: str


def freshness(run: RunResults) -> Freshness:
    """The ages of the replies that a run is graded by."""
    asked = [reply.asked for reply in run.replies.values()]
    dated = [time for time in asked if time]
    sessions = run.manifest.get("sessions", [])
    # A merged run has a latest session for each of its parts.
    latest = [str(session.get("begun", "")) for session in sessions[-len(run.manifest.get("merged", "1")) :]]
    since = read_generation(run.manifest).since
    return Freshness(
        replies=len(asked),
        new=sum(bool(latest) and time >= min(latest) for time in dated),
        behind=sum(time < since for time in asked),
        undated=len(asked) - len(dated),
        oldest=min(dated, default=""),
    )


def freshness_line(found: Freshness) -> str:
    """The ages of a run's replies as a sentence."""
    if found.undated == found.replies:
        return f"The age of all {found.replies} replies is unknown (an earlier version kept no times)."
    parts = [f"{found.new} of {found.replies} replies are new, asked by the latest eval"]
    if found.oldest:
        time = datetime.fromisoformat(found.oldest)
        parts.append(f"the oldest was asked {_words(_age(time))} ago ({time:%Y-%m-%d %H:%M} UTC)")
    if found.undated:
        parts.append(f"the age of {found.undated} is unknown (an earlier version kept no times)")
    if found.behind:
        parts.append(f"{found.behind} are of an earlier generation and not asked again yet")
    return "; ".join(parts) + "."


def asked_note(run: RunResults) -> str:
    """The dates (UTC) on which a run's replies were asked; the same whenever it is read.

    Empty for a run whose replies keep no times.
    """
    times = [reply.asked for reply in run.replies.values() if reply.asked]
    if not times:
        return ""
    first, last = (datetime.fromisoformat(f(times)).strftime("%Y-%m-%d") for f in (min, max))
    parts = [
        f"Replies asked on {first} (UTC)" if first == last else f"Replies asked from {first} to {last} (UTC)"
    ]
    found = freshness(run)
    if found.undated:
        parts.append(f"{found.undated} of {found.replies} keep no time")
    if found.behind:
        parts.append(
            f"{found.behind} of {found.replies} are of an earlier generation and not asked again yet"
        )
    return "; ".join(parts) + "."


def stale_problem(run: RunResults, max_age: timedelta | None = None) -> str:
    """The reason why a run's replies are too old to decide by; empty if they are not.

    Args:
        run: The graded run.
        max_age: The greatest age of a reply; None for any.

    Returns:
        A sentence, or nothing.
    """
    found = freshness(run)
    if found.behind > run.plan.max_error_rate * run.planned:
        return (
            f"{found.behind} of {found.replies} replies are of an earlier generation: eval --fresh or "
            "--max-age was stopped before it had asked them again. Run the same mmdbench eval command again."
        )
    if max_age is None:
        return ""
    hint = "Ask again: mmdbench eval --fresh, or --max-age."
    if found.undated:
        return f"The age of {found.undated} of {found.replies} replies is unknown, and must be known. {hint}"
    if found.oldest and _age(datetime.fromisoformat(found.oldest)) > max_age:
        age = _words(_age(datetime.fromisoformat(found.oldest)))
        return f"The oldest reply is {age} old, and may be {_words(max_age)} old at most. {hint}"
    return ""


def _age(time: datetime) -> timedelta:
    return datetime.now(timezone.utc) - time


def _words(age: timedelta) -> str:
    seconds = max(0.0, age.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{count} {unit}{'s' * (count != '1')}"
    return "less than a minute"
