"""Options of `evaluate`, by the names that the command's options have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import CLEAN, LEVELS, RECODED

if TYPE_CHECKING:
    from mmdbench.corruptions.definition import Corruption

__all__ = ["EvaluateOptions", "chosen_levels", "listed", "local_path"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:[/\\]+[^/\\]")
"""The start of a URL, also of one that was made a Path, which has one slash; `C:/photos` is a path."""


class EvaluateOptions(TypedDict, total=False):
    """Options of `mmdbench.evaluate`; those of `mmdbench eval` with the same defaults.

    Attributes:
        out: Folder of the run; by default one below `runs/` that is named by the model and the plan.
        levels: Levels: `clean`, `recoded`, `low`, `mid`, `hard`; by default clean and all three severities.
        sample: Number of questions to draw: 200, or "200/bench".
        design: Corruptions of each question: `mixed`, `grid`, `balanced:K`, `drawn`, `released`, `chain:K`.
        corruptions: Corruptions to draw from: names, categories, `all`, `module:function`,
            `file.py:function` or decorated functions; by default all of mmdbench.
        corruption_set: Set that the corruptions are of: `paper`, `everyday` or one of an installed package.
        seed: Seed of all random draws.
        profile: Parameters of the corruptions: `paper` or `scaled`.
        codec: Encoding of degraded images: `jpeg:Q`, `webp:Q` or `png`.
        target_ci: Add questions until the 95 % interval is ± this many points.
        repeat: Number of requests about the same pictures, each with a seed of its own, at a temperature
            above 0.
        task: `answer`, or `perceive`.
        family: Question family of a TSV file of one's own.
        columns: Columns of a dataset of the Hub or of another tool's file: `{"question": "prompt"}`, or
            "question=prompt,image=img".
        data_dir: Folder of benchmark files, searched before `$LMUData` and `~/LMUData`.
        image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.
        offline: Never download.
        yes: Download more than 1 GB.
        degrade_again: Degrade benchmarks too whose pictures are degraded as published.
        restore: Restorer to apply before the model sees a picture.
        restore_cards: TOML files with restorers.
        restore_clean: Restore clean pictures too.
        model_cards: TOML files with model cards.
        settings: Settings of the card, `{"generation.temperature": 0.5}`.
        concurrency: Most requests to a server at the same time.
        name: Name of the model in tables; for functions and models of one's own.
        label: Name of the run in tables, figures and its default folder; by default the model's short name.
        version: Version of a function: its replies are kept as long as name, source and version are the same.
            A function without one is asked anew in every call, since its weights may have changed.
        canary: Check first that a server answers about the pictures it is sent.
        batch: Ask through the server's batch endpoint.
        keep_images: Keep the pictures that the model makes while it answers.
        allow_model_change: Continue where the server answers as another model than before.
        serve: Command that serves the model on this machine; `{port}` is a free port.
        serve_minutes: Longest time in minutes until that server answers.
        protocol: Grading protocol.
        extraction: Answer extraction.
        judge: Model that grades what rules cannot.
        judge_heads: VLMEvalKit's judge prompts.
        max_usd: Stop at this cost in US dollars.
        max_minutes: Stop after this many minutes.
        max_requests: Stop after this many requests.
        max_error_rate: Largest share of answers that a complete run may lack, 0 to 1.
        retry_errors: Ask again where an earlier request failed.
        on_bad_image: `count` or `error`.
        max_pixels: Largest picture to read, in pixels.
        fresh: Ask everything again; earlier replies are kept.
        max_age: Ask again for replies older than this: a timedelta, or "12h", "7d".
        shard: (i, n): only the i-th of n parts of the requests, from 1.
        workers: Threads that make pictures; 0: by the number of CPUs.
        engine: Place of the work: `local` or `ray`.
        gpus: GPUs, with one process for each: "0,1".
        processes: Number of processes that hold the model.
        gpus_each: GPUs that Ray reserves for each process.
        ray_address: Address of a running Ray cluster.
        runtime_env: YAML file with Ray's runtime environment.
    """

    out: str | Path | None
    levels: Sequence[str]
    sample: int | str
    design: str
    corruptions: Sequence[str | Corruption]
    corruption_set: str
    seed: int
    profile: str
    codec: str
    target_ci: float | None
    repeat: int
    task: str
    family: str
    columns: dict[str, str] | Sequence[str]
    data_dir: str | Path | None
    image_root: str | Path | None
    offline: bool
    yes: bool
    degrade_again: bool
    restore: str
    restore_cards: Sequence[str | Path]
    restore_clean: bool
    model_cards: Sequence[str | Path]
    settings: dict[str, object] | Sequence[str]
    concurrency: int | None
    name: str
    label: str
    version: str
    canary: bool
    batch: bool
    keep_images: bool
    allow_model_change: bool
    serve: str
    serve_minutes: float
    protocol: str
    extraction: str
    judge: str
    judge_heads: str | Path | None
    max_usd: float | None
    max_minutes: float | None
    max_requests: int | None
    max_error_rate: float
    retry_errors: bool
    on_bad_image: str
    max_pixels: int
    fresh: bool
    max_age: str | timedelta | None
    shard: tuple[int, int]
    workers: int
    engine: str
    gpus: str
    processes: int
    gpus_each: float
    ray_address: str
    runtime_env: str | Path | None


def listed(values: str | Path | Sequence[str | Path]) -> list[str]:
    """Names or paths as a list of texts; a text or a path is a list of one.

    >>> listed("hard"), listed(("clean", "hard"))
    (['hard'], ['clean', 'hard'])
    """
    return [str(values)] if isinstance(values, (str, Path)) else [str(value) for value in values]


def local_path(place: str | Path, what: str = "out") -> Path:
    """A path on this machine. Raises UsageError for an empty text and for a URL.

    Args:
        place: The path.
        what: The name of the argument.

    Returns:
        The path.
    """
    text = str(place)
    if not text.strip():
        raise UsageError(f"{what} must not be empty.")
    if _URL.match(text):
        raise UsageError(
            f"{what} must be a path on this machine, got {text.partition(':')[0]}://…",
            hint="Use a local path, or see docs/remote.md for the options that take URLs.",
        )
    return Path(place)


def chosen_levels(names: str | Sequence[str]) -> tuple[str, ...]:
    """Each level once, in the order of strength. Raises UnknownNameError, and UsageError for none.

    >>> chosen_levels(["hard", "clean"])
    ('clean', 'hard')
    """
    known = (CLEAN, RECODED, *LEVELS)
    wanted = listed(names)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("level", name, known)
    if not wanted:
        raise UsageError("--level must name a level.", hint=f"Name some of {', '.join(known)}.")
    return tuple(name for name in known if name in wanted)
