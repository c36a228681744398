"""Names that a shell completes: those that options take, and the folders of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mmdbench.system.files import MANIFEST_FILE

__all__ = ["complete_runs", "complete_runs_or_published", "completes"]


def completes(kind: str, *, commas: bool = False) -> Callable[[str], list[str]]:
    """A function from the beginning of a name to the names of a kind that begin so.

    Args:
        kind: A key of `_NAMES`, or a kind that `mmdbench.library.listing.named_rows` knows.
        commas: True if the option takes several names with commas: the last one is completed.

    Returns:
        The function, for `autocompletion` of an option of typer.
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if commas else ("", "", incomplete)
        taken = before.split(",")
        return [before + comma + name for name in _names(kind) if name.startswith(last) and name not in taken]

    return complete


def complete_runs(incomplete: str) -> list[str]:
    """Folders of runs whose path begins so, and with a slash at their end those that lead to others."""
    place, slash, start = incomplete.rpartition("/")
    try:
        inside = sorted(Path(place + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    folders = [path for path in inside if path.is_dir()]
    return [
        place + slash + folder.name + ("" if (folder / MANIFEST_FILE).is_file() else "/")
        for folder in folders
        if folder.name.startswith(start) and (start or not folder.name.startswith("."))
    ]


def complete_runs_or_published(incomplete: str) -> list[str]:
    """Folders of runs, and published results, whose name begins so."""
    begun = "paper:".startswith(incomplete[:6])  # reading their names takes as long as all the rest
    return [*(completes("published")(incomplete) if begun else ()), *complete_runs(incomplete)]


def _names(kind: str) -> Iterable[str]:
    if kind in _NAMES:
        return _NAMES[kind]()
    from mmdbench.library.listing import named_rows

    return [row["name"] for row in named_rows(kind)]


def _models() -> Iterable[str]:
    from mmdbench.library.listing import known_cards

    return [name for name, card in known_cards().items() if not card.retired]


def _benches() -> Iterable[str]:
    from mmdbench.benches import get_bench_names

    return get_bench_names()


def _corruptions() -> Iterable[str]:
    from mmdbench.corruptions.installed import installed_corruptions
    from mmdbench.corruptions.spec_file import load_spec

    own = load_spec().corruptions
    categories = dict.fromkeys(entry.category for entry in own.values())
    return ["all", *categories, *own, *installed_corruptions()]


def _sets() -> Iterable[str]:
    from mmdbench.corruptions.installed import set_names

    return set_names()


_NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "models": _models,
    "benches": _benches,
    "corruptions": _corruptions,
    "sets": _sets,
    "extractions": lambda: ("sane", "lenient", "clear", "none"),
}
