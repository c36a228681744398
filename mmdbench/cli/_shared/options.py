"""Options and arguments that several verbs take, each declared once, and readers of their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared.urls import BENCH, DATA_DIR, FILE, FOLDER, OUT, RUN
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import CLEAN, LEVELS, RECODED

# Headings of the groups that `--help` shows.
QUESTIONS = "Questions"
PICTURES = "Corruptions"
MODEL = "Model"
GRADING = "Grading"
LIMITS = "Limits"
PROCESSES = "Processes"

_RUNS_HELP = "Folders of runs, and published results such as paper:clear-rl; the first is the reference."
_DATA_DIR_HELP = "Folder of benchmark files, searched before $LMUData and ~/LMUData."

RunFolder = Annotated[Path, typer.Argument(parser=FOLDER, help="Folder of a run.")]
RunsOrPublished = Annotated[list[str], typer.Argument(parser=RUN, help=_RUNS_HELP)]

Model = Annotated[str, typer.Option("--model", help="Name of a model card; see: mmdbench list models")]
Benches = Annotated[
    list[str],
    typer.Option("--bench", parser=BENCH, help="A benchmark, a set such as mmd, or a TSV file; repeatable."),
]
RunOut = Annotated[Path, typer.Option("-o", "--out", parser=OUT, help="Folder of the run.")]
RunOutOrNone = Annotated[Path | None, typer.Option("-o", "--out", parser=OUT, help="Folder of the run.")]
FilesOut = Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with unrounded numbers.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random draws.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the amount of work and its cost, then exit.")]

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", parser=DATA_DIR, help=_DATA_DIR_HELP, rich_help_panel=QUESTIONS),
]
LocalDataDir = Annotated[
    Path | None, typer.Option("--data-dir", help=_DATA_DIR_HELP, rich_help_panel=QUESTIONS)
]
"""`--data-dir` of verbs that download into it or check it, and so take no URL."""
Offline = Annotated[bool, typer.Option("--offline", help="Never download.", rich_help_panel=QUESTIONS)]
Family = Annotated[
    str,
    typer.Option("--family", help="Question family of a TSV file of your own.", rich_help_panel=QUESTIONS),
]
Sample = Annotated[
    str,
    typer.Option("--sample", help="Draw so many questions: 200, or 200/bench.", rich_help_panel=QUESTIONS),
]
SourceFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--source",
        parser=FILE,
        help="A TSV file that the build was made of; repeatable.",
        rich_help_panel=QUESTIONS,
    ),
]

Levels = Annotated[
    str,
    typer.Option(
        "--level",
        help="Levels, with commas: low, mid, hard; eval and build also take clean and recoded.",
        rich_help_panel=PICTURES,
    ),
]
Design = Annotated[
    str,
    typer.Option(
        "--design",
        help="Corruptions of each question: mixed, grid or balanced:K; eval also takes drawn and released.",
        rich_help_panel=PICTURES,
    ),
]
Corruptions = Annotated[
    list[str] | None,
    typer.Option(
        "--corruption",
        help="Use only these corruptions; repeatable, or with commas.",
        rich_help_panel=PICTURES,
    ),
]
CorruptionNames = Annotated[
    list[str] | None,
    typer.Option("--name", help="Use only this corruption; repeatable.", rich_help_panel=PICTURES),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile", help="Parameters of the corruptions: paper or scaled.", rich_help_panel=PICTURES
    ),
]
Codec = Annotated[
    str,
    typer.Option(
        "--codec", help="Encoding of degraded images: jpeg:Q, webp:Q or png.", rich_help_panel=PICTURES
    ),
]
SheetOut = Annotated[Path, typer.Option("-o", "--out", help="Sheet to write: a .png or .jpg file.")]
SheetOutOrNone = Annotated[
    Path | None, typer.Option("-o", "--out", help="Sheet to write: a .png or .jpg file.")
]
Width = Annotated[
    int, typer.Option("--width", help="Width of one picture on the sheet, in pixels.", min=16, max=2000)
]

ModelCards = Annotated[
    list[Path] | None,
    typer.Option(
        "--model-card", help="TOML file with model cards of your own; repeatable.", rich_help_panel=MODEL
    ),
]
CardSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="key=value: a field or option of the model card; repeatable.", rich_help_panel=MODEL
    ),
]

Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="Grading protocol: clear/1 or vlmevalkit/1. A stored run keeps its own unless you name one.",
        rich_help_panel=GRADING,
    ),
]
Extraction = Annotated[
    str,
    typer.Option(
        "--extraction",
        help="Answer extraction: sane, clear or none. A stored run keeps its own unless you name one.",
        rich_help_panel=GRADING,
    ),
]
Judge = Annotated[
    str,
    typer.Option(
        "--judge",
        help="Model that grades what rules cannot: a card such as gpt-4.1, or openai:MODEL@URL.",
        rich_help_panel=GRADING,
    ),
]

MaxUsd = Annotated[
    float | None, typer.Option("--max-usd", help="Stop at this cost in US dollars.", rich_help_panel=LIMITS)
]
MaxRequests = Annotated[
    int | None,
    typer.Option(
        "--max-requests", help="Stop after this many requests, retries included.", rich_help_panel=LIMITS
    ),
]

Engine = Annotated[
    str, typer.Option("--engine", help="Place of the work: local or ray.", rich_help_panel=PROCESSES)
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--ray-address",
        help="Address of a running Ray cluster; else RAY_ADDRESS, else a new one on this machine.",
        rich_help_panel=PROCESSES,
    ),
]
RuntimeEnv = Annotated[
    Path | None,
    typer.Option(
        "--runtime-env",
        help="YAML file with Ray's runtime environment (pip, env_vars …).",
        rich_help_panel=PROCESSES,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        help="Threads, or Ray tasks, that make pictures; 0: by the number of CPUs.",
        rich_help_panel=PROCESSES,
    ),
]


def parse_shard(text: str) -> tuple[int, int]:
    """`3/8` → (3, 8)."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard must be NUMBER/COUNT, got {text!r}.", hint="Write 1/8 … 8/8.")
    return int(number), int(count)


def parse_levels(text: str) -> tuple[str, ...]:
    """`hard,clean` → ("clean", "hard"): each level once, in the order of strength."""
    known = (CLEAN, RECODED, *LEVELS)
    wanted = split_list(text)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("level", name, known)
    if not wanted:
        raise UsageError(
            f"--level must name a level, got {text!r}.", hint=f"Name some of {', '.join(known)}."
        )
    return tuple(name for name in known if name in wanted)


def split_list(*texts: str) -> tuple[str, ...]:
    """`a, b` → ("a", "b"), for each text in turn; empty parts are left out."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
