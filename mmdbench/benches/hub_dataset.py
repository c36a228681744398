"""Datasets of the Hugging Face Hub as benchmarks: `hf:owner/name[@revision][:config][:split]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mmdbench.benches.bench import Bench
from mmdbench.benches.converted import (
    OpenOptions,
    Source,
    SourceRecord,
    bench_name,
    chosen_columns,
    find_converted,
    open_converted,
    open_source,
)
from mmdbench.errors import DataError, DownloadError, MissingExtraError, MmdbenchError, UsageError
from mmdbench.system.environment import is_offline
from mmdbench.system.secrets import hide_secrets

__all__ = ["HUB", "HubName", "hub_errors", "load_hub", "open_hub_bench", "parse_hub_name"]

HUB = "hf:"
"""The beginning of the name of a dataset on the Hub."""

_REPO = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
_NAME = re.compile(
    rf"hf:(?P<repo>{_REPO})(?:@(?P<revision>[^\s:@]+))?"
    r"(?::(?P<first>[^:\[\]\s]+))?(?::(?P<second>[^:\[\]\s]+))?(?:\[:(?P<rows>[1-9][0-9]*)\])?"
)
_SPLITS = ("test", "validation", "val", "dev")
_HINTS = {
    401: "The name may be wrong; a private or gated dataset needs HF_TOKEN.",
    403: "Accept its terms on its page; HF_TOKEN must be of that account, and for --push may write.",
    404: "The name may be wrong, or the dataset is private and needs HF_TOKEN.",
}


@dataclass(frozen=True, slots=True)
class HubName:
    """The parts of a name: `parts` are its configuration and split, or one of them; `rows` is 0 for all."""

    repo: str
    revision: str = ""
    parts: tuple[str, ...] = ()
    rows: int = 0

    @property
    def given(self) -> str:
        """The name without its revision."""
        return ":".join((f"{HUB}{self.repo}", *self.parts)) + (f"[:{self.rows}]" if self.rows else "")


def parse_hub_name(name: str) -> HubName:
    """The parts of a name. Raises UsageError for one that is none.

    >>> parse_hub_name("hf:lmms-lab/MMStar@main:val[:50]")
    HubName(repo='lmms-lab/MMStar', revision='main', parts=('val',), rows=50)
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(
            f"{name!r} names no dataset of the Hub.",
            hint="Write hf:owner/name, hf:owner/name:split or hf:owner/name@revision:config:split[:100].",
        )
    parts = tuple(part for part in (found["first"], found["second"]) if part)
    return HubName(found["repo"], found["revision"] or "", parts, int(found["rows"] or 0))


def open_hub_bench(name: str, options: OpenOptions) -> Bench:
    """A dataset of the Hub as a benchmark: its rows are streamed and written to a TSV once.

    Args:
        name: The name, as `parse_hub_name` reads it. Without a revision it is the newest one.
        options: The options.

    Returns:
        The benchmark.

    Raises:
        UsageError: The name is none, or the dataset has no such configuration or split.
        DownloadError: The dataset is missing, gated or damaged, or the Hub cannot be reached.
        DataError: It lacks a column, or `offline` is set and it is not on this machine.
        MissingExtraError: `datasets` is not installed.
    """
    found = parse_hub_name(name)
    chosen = chosen_columns(found.given, options)
    if options.offline or is_offline():
        path = find_converted(found.given, chosen, options.data_dir, found.revision)
        if path is None:
            raise DataError(
                f"{name} is not on this machine.",
                hint="Leave out --offline or --dry-run once; then name the commit or no revision.",
            )
        return open_converted(path, options)
    with hub_errors(found.repo):
        page = load_hub("huggingface_hub").HfApi().dataset_info(found.repo, revision=found.revision or None)
        path = find_converted(found.given, chosen, options.data_dir, page.sha)
        if path is not None:
            return open_converted(path, options)
        return open_source(_source(found, page, chosen), options)


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Errors of `huggingface_hub` and `datasets` as ours, in one line and without keys."""
    try:
        yield
    except (MmdbenchError, KeyboardInterrupt):
        raise
    except Exception as error:  # the client is httpx or httpx2, by the version of huggingface_hub
        status = getattr(getattr(error, "response", None), "status_code", 0)
        said = [line.strip() for line in hide_secrets(str(error)).splitlines() if line.strip()]
        what = f"the Hub answered {status}" if status else (said or [type(error).__name__])[0]
        hint = _HINTS.get(
            status, "Run the same command again; HF_ENDPOINT names a mirror, https_proxy a proxy."
        )
        raise DownloadError(f"The dataset {repo}: {what[:300].rstrip('.')}.", hint=hint) from error


def load_hub(module: str) -> Any:
    """A module of the extra `hub`. Raises MissingExtraError."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{module}, which reads datasets of the Hub,", "hub") from error


def _source(found: HubName, page: Any, columns: Mapping[str, str]) -> Source:
    datasets = load_hub("datasets")
    with _no_bars(datasets):
        config, split = _config_and_split(datasets, found, page.sha)
        rows = datasets.load_dataset(found.repo, config, split=split, revision=page.sha, streaming=True)
    rows = rows.decode(False)
    features = rows.features or _features_of_first(rows)
    pictures = tuple(name for name, feature in features.items() if _is_picture(feature))
    place = ":".join((f"{HUB}{found.repo}@{page.sha}", config, split)) + (
        f"[:{found.rows}]" if found.rows else ""
    )
    shown = "" if config == "default" else config
    record = SourceRecord(
        given=found.given,
        revision=page.sha,
        columns=dict(columns),
        source=place,
        licence=_licence(page),
        title=" ".join(part for part in (found.repo, shown, split) if part),
    )
    taken = rows.take(found.rows) if found.rows else rows
    return Source(
        record,
        bench_name(found.repo, shown, split, f"first{found.rows}" if found.rows else ""),
        tuple(name for name in features if name not in pictures),
        pictures,
        lambda: _plain_rows(taken, features, found.repo),
    )


def _config_and_split(datasets: Any, found: HubName, commit: str) -> tuple[str, str]:
    configs = datasets.get_dataset_config_names(found.repo, revision=commit)
    usual = datasets.get_dataset_default_config_name(found.repo, revision=commit)
    named, wanted = (*found.parts, "", "")[:2]
    if len(found.parts) == 1 and named not in configs:
        named, wanted = "", named
    config = named or usual or (configs[0] if len(configs) == 1 else "")
    if config not in configs:
        what = f"no configuration {named!r}" if named else "several configurations"
        raise UsageError(
            f"The dataset {found.repo} has {what}.", hint=f"Name one of: {', '.join(configs[:40])}."
        )
    splits = datasets.get_dataset_split_names(found.repo, config, revision=commit)
    split = wanted or next(
        (name for name in _SPLITS if name in splits), splits[0] if len(splits) == 1 else ""
    )
    if split not in splits:
        what = f"no split {wanted!r}" if wanted else "several splits"
        raise UsageError(
            f"The dataset {found.repo} ({config}) has {what}.", hint=f"Name one: {', '.join(splits)}."
        )
    return config, split


@contextmanager
def _no_bars(datasets: Any) -> Iterator[None]:
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def _features_of_first(rows: Any) -> dict[str, Any]:
    """The columns of the first row, for formats that declare none."""
    return dict(next(iter(rows), {}))


def _is_picture(feature: Any) -> bool:
    inner = getattr(feature, "feature", feature)
    inner = inner[0] if isinstance(inner, list) and inner else inner
    return type(inner).__name__ == "Image" or (isinstance(inner, dict) and {*inner} == {"bytes", "path"})


def _plain_rows(rows: Any, features: Mapping[str, Any], repo: str) -> Iterator[dict[str, Any]]:
    names = {name: feature.names for name, feature in features.items() if hasattr(feature, "names")}
    pictures = [name for name, feature in features.items() if _is_picture(feature)]
    for row in rows:
        plain = dict(row)
        for name, labels in names.items():
            value = plain.get(name)
            plain[name] = labels[value] if isinstance(value, int) and value >= 0 else ""
        for name in pictures:
            held = plain.get(name)
            plain[name] = [_picture(one, repo) for one in (held if isinstance(held, list) else [held])]
        yield plain


def _picture(value: Any, repo: str) -> bytes | None:
    """The bytes of a picture; those of a file are read only if the file is of the same dataset."""
    if not isinstance(value, dict):
        return None
    data, path = value.get("bytes"), str(value.get("path") or "")
    if data:
        return bytes(data)
    *archives, file = path.split("::")
    if not file.startswith(f"hf://datasets/{repo}@") or not all(a.startswith("zip://") for a in archives):
        return None  # a path on this machine, or a URL of elsewhere
    with load_hub("fsspec").open(path, "rb") as opened:
        return bytes(opened.read())


def _licence(page: Any) -> str:
    card = page.card_data
    named = (card.get("license_name") or card.get("license")) if card else None
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")
