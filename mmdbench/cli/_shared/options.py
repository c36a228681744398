"""Options and arguments that several verbs take, each declared once, and readers of their texts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared.completion import complete_runs, complete_runs_or_published, completes
from mmdbench.cli._shared.urls import BENCH, DATA_DIR, FILE, FOLDER, LOCAL, OUT, RUN
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, LEVELS, PAPER_SET

# Options under one heading of `--help`.
question_option = partial(typer.Option, rich_help_panel="Questions")
picture_option = partial(typer.Option, rich_help_panel="Corruptions")
model_option = partial(typer.Option, rich_help_panel="Model")
grading_option = partial(typer.Option, rich_help_panel="Grading")
limit_option = partial(typer.Option, rich_help_panel="Limits")
process_option = partial(typer.Option, rich_help_panel="Processes")

_RUNS_HELP = "Folders of runs, and published results such as paper:clear-rl; the first is the reference."
_DATA_DIR_HELP = "Folder of benchmark files, searched before $LMUData and ~/LMUData."

RunFolder = Annotated[
    Path, typer.Argument(parser=FOLDER, help="Folder of a run.", autocompletion=complete_runs)
]
RunsOrPublished = Annotated[
    list[str], typer.Argument(parser=RUN, help=_RUNS_HELP, autocompletion=complete_runs_or_published)
]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="Name of a model card; see: mmdbench list models",
        autocompletion=completes("models"),
    ),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        help="Name of a model card; see: mmdbench list models. Repeatable: each model then has a run of its "
        "own, and limits hold for each.",
        autocompletion=completes("models"),
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        help="Name of the run in tables and folders, by default the model's short name; once for each model.",
    ),
]
Benches = Annotated[
    list[str],
    typer.Option(
        "--bench",
        parser=BENCH,
        help="A benchmark, a set such as mmd, hf:owner/name, or a file; repeatable.",
        autocompletion=completes("benches"),
    ),
]
RunOut = Annotated[Path, typer.Option("-o", "--out", parser=OUT, help="Folder of the run.")]
RunOutOrNone = Annotated[Path | None, typer.Option("-o", "--out", parser=OUT, help="Folder of the run.")]
FilesOut = Annotated[Path, typer.Option("-o", "--out", parser=LOCAL, help="Folder for the files.")]
FilesOutOrNone = Annotated[
    Path | None, typer.Option("-o", "--out", parser=LOCAL, help="Folder for the files.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with unrounded numbers.")]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        help="Print only these tables, or all; see: mmdbench list tables; with commas or repeated.",
        autocompletion=completes("tables", commas=True),
    ),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random draws.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the amount of work and its cost, then exit.")]

DataDir = Annotated[Path | None, question_option("--data-dir", parser=DATA_DIR, help=_DATA_DIR_HELP)]
LocalDataDir = Annotated[Path | None, question_option("--data-dir", parser=LOCAL, help=_DATA_DIR_HELP)]
"""`--data-dir` of verbs that download into it or check it, and so take no URL."""
ImageRoot = Annotated[
    Path | None,
    question_option(
        "--image-root",
        parser=LOCAL,
        help="Folder of the pictures that a TSV names, if it is not the TSV's own.",
    ),
]
Columns = Annotated[
    list[str] | None,
    question_option(
        "--column",
        help="Columns of a dataset of the Hub or of another tool's file: question=prompt,image=img; "
        "repeatable, and kept for later commands.",
    ),
]
Offline = Annotated[bool, question_option("--offline", help="Never download.")]
Yes = Annotated[bool, question_option("--yes", help="Download more than 1 GB without asking.")]
Family = Annotated[
    str,
    question_option(
        "--family",
        help="Question family of a TSV file of your own.",
        autocompletion=completes("families"),
    ),
]
Sample = Annotated[str, question_option("--sample", help="Draw so many questions: 200, or 200/bench.")]
SourceFiles = Annotated[
    list[Path] | None,
    question_option("--source", parser=FILE, help="A TSV file that the build was made of; repeatable."),
]

Levels = Annotated[
    list[str],
    picture_option(
        "--level",
        help="Levels: low, mid, hard; eval and build also take clean and recoded; with commas or repeated.",
        autocompletion=completes("levels", commas=True),
    ),
]
Design = Annotated[
    str,
    picture_option(
        "--design",
        help="Corruptions of each question: mixed, grid or balanced:K; eval also takes drawn, released "
        "and, with --task perceive, chain:K.",
        autocompletion=completes("designs"),
    ),
]
Corruptions = Annotated[
    list[str] | None,
    picture_option(
        "--corruption",
        help="Use only these corruptions: names, categories, all, module:function or file.py:function, "
        "with commas or repeated.",
        autocompletion=completes("corruptions", commas=True),
    ),
]
CorruptionSet = Annotated[
    str,
    picture_option(
        "--corruption-set",
        help="Set that the corruptions are of: paper, everyday, or one of an installed package; all of it "
        "without --corruption.",
        autocompletion=completes("sets"),
    ),
]
CorruptionCode = Annotated[
    list[str] | None,
    picture_option(
        "--corruption",
        help="Run the code of these corruptions: module:function or file.py:function, with commas or "
        "repeated.",
    ),
]
DegradeAgain = Annotated[
    bool,
    picture_option(
        "--degrade-again", help="Degrade benchmarks too whose pictures are degraded as published (R-Bench)."
    ),
]
Profile = Annotated[str, picture_option("--profile", help="Parameters of the corruptions: paper or scaled.")]
Codec = Annotated[str, picture_option("--codec", help="Encoding of degraded images: jpeg:Q, webp:Q or png.")]
DEFAULT_SET = PAPER_SET
"""The set that corruptions are of by default."""
DEGRADED = list(LEVELS)
"""The levels that a verb without clean pictures shows by default."""
CLEAN_AND_DEGRADED = [CLEAN, *LEVELS]
"""The levels that `eval` asks by default."""
SheetOut = Annotated[
    Path, typer.Option("-o", "--out", parser=LOCAL, help="Sheet to write: a .png or .jpg file.")
]
SheetOutOrNone = Annotated[
    Path | None, typer.Option("-o", "--out", parser=LOCAL, help="Sheet to write: a .png or .jpg file.")
]
Width = Annotated[
    int, typer.Option("--width", help="Width of one picture on the sheet, in pixels.", min=16, max=2000)
]

ModelCards = Annotated[
    list[Path] | None,
    model_option("--model-card", parser=LOCAL, help="TOML file with model cards of your own; repeatable."),
]
CardSettings = Annotated[
    list[str] | None,
    model_option("--set", help="key=value: a field or option of the model card; repeatable."),
]

Batch = Annotated[
    bool,
    model_option(
        "--batch",
        help="Ask through the server's batch endpoint: cheaper, and answered within a day.",
    ),
]
AllowModelChange = Annotated[
    bool,
    model_option(
        "--allow-model-change",
        help="Continue where the server answers as another model than before; reports say so.",
    ),
]

Protocol = Annotated[
    str,
    grading_option(
        "--protocol",
        help="Grading protocol: clear/1, vlmevalkit/1, rbench/official or rbench/ours. "
        "A stored run keeps its own unless you name one.",
        autocompletion=completes("protocols"),
    ),
]
Extraction = Annotated[
    str,
    grading_option(
        "--extraction",
        help="Answer extraction: sane, lenient, clear or none. A stored run keeps its own by default.",
        autocompletion=completes("extractions"),
    ),
]
Judge = Annotated[
    str,
    grading_option(
        "--judge",
        help="Model that grades what rules cannot: a card such as gpt-4.1, or openai:MODEL@URL. "
        "Verbs that ask no model take a judge that was asked about the run, NAME#PROMPT for one of its "
        "wordings, or none; a wrong name lists them.",
    ),
]
JudgeHeads = Annotated[
    Path | None,
    grading_option(
        "--judge-heads",
        parser=LOCAL,
        help="VLMEvalKit's judge prompts: a wheel, a checkout or a folder of texts.",
    ),
]

MaxUsd = Annotated[float | None, limit_option("--max-usd", help="Stop at this cost in US dollars.")]
MaxRequests = Annotated[
    int | None, limit_option("--max-requests", help="Stop after this many requests, retries included.")
]
OnBadImage = Annotated[
    str,
    limit_option(
        "--on-bad-image",
        help="Missing, broken or too large pictures: count (them as failed) or error.",
    ),
]
MaxPixels = Annotated[
    int,
    limit_option(
        "--max-pixels",
        help="Largest picture to read, and the most that threads work on at once, in pixels (of 55 bytes).",
    ),
]

Engine = Annotated[str, process_option("--engine", help="Place of the work: local or ray.")]
RayAddress = Annotated[
    str,
    process_option(
        "--ray-address",
        help="Address of a running Ray cluster; else RAY_ADDRESS, else a new one on this machine.",
    ),
]
RuntimeEnv = Annotated[
    Path | None,
    process_option(
        "--runtime-env", parser=LOCAL, help="YAML file with Ray's runtime environment (pip, env_vars …)."
    ),
]
Workers = Annotated[
    int,
    process_option(
        "--workers", min=0, help="Threads, or Ray tasks, that make pictures; 0: by the number of CPUs."
    ),
]


def parse_shard(text: str) -> tuple[int, int]:
    """`3/8` → (3, 8)."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard must be NUMBER/COUNT, got {text!r}.", hint="Write 1/8 … 8/8.")
    return int(number), int(count)


def split_list(*texts: str) -> tuple[str, ...]:
    """`a, b` → ("a", "b"), for each text in turn; empty parts are left out."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def split_option(texts: list[str] | None) -> tuple[str, ...]:
    """The names of an option that is given with commas or repeated; none if it is not given."""
    return split_list(*(texts or ()))


def members(corruption: list[str] | None, corruption_set: str) -> tuple[str, ...]:
    """The corruptions of --corruption within those of --corruption-set."""
    from mmdbench.corruptions.plugins import in_set

    return tuple(map(str, in_set(corruption_set, split_option(corruption))))


def whole_numbers(option: str, texts: list[str] | None) -> tuple[int, ...]:
    """The whole numbers of an option that is given with commas or repeated. Raises UsageError for others."""
    found = split_option(texts)
    for text in found:
        if not (text.isascii() and text.isdecimal()):
            raise UsageError(f"{option} must be whole numbers, got {text!r}.")
    return tuple(map(int, found))
