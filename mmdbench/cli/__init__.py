"""The command line: one file for each verb, which parses options, calls the library and prints.

`mmdbench --help` imports none of them, and a verb imports what it needs only when it runs.
"""

from __future__ import annotations

import gc
import sys

import typer

from mmdbench.cli._shared.errors import (
    INTERRUPTED,
    UNEXPECTED,
    end_stopped,
    print_stopped,
    print_unexpected,
    replace_unprintable,
)
from mmdbench.cli._shared.lazy_verbs import Verb, VerbGroup
from mmdbench.cli._shared.output import say
from mmdbench.system.stop_signals import end_at_stop_signals

__all__ = ["VERBS", "app", "main"]

VERBS = {
    "demo": Verb(
        "demo.demo",
        "Evaluate a small model on clean and degraded photographs, in one to five minutes on two free cores.",
    ),
    "list": Verb(
        "listing.list_names",
        "List names that options take: corruptions, benches, models, designs, levels, tables ….",
    ),
    "corrupt": Verb("corrupt.corrupt", "Degrade a picture, or every picture in a folder."),
    "gallery": Verb(
        "gallery.gallery", "Draw a sheet of a picture under all corruptions: clean, low, mid and hard."
    ),
    "calibrate": Verb("calibrate.calibrate", "Measure the corruptions on your own pictures."),
    "build": Verb("build.build", "Write degraded copies of benchmarks; run the command again to resume."),
    "verify": Verb(
        "verify.verify", "Check the files of a build, and make its pictures again to compare them."
    ),
    "replay": Verb("replay.replay", "Make one picture of a build again, from its source and manifest."),
    "eval": Verb(
        "evaluate.evaluate", "Run a model on clean and degraded questions; run the command again to resume."
    ),
    "assign": Verb(
        "assign.assign", "Make a training set: degraded pictures with traces and decisions to restore."
    ),
    "train": Verb("train.train", "Train CLEAR or Robust-R1; run the command again to resume."),
    "doctor": Verb(
        "doctor.doctor",
        "Check the installation, or with --model that a model does not mix up pictures.",
    ),
    "merge": Verb("merge.merge", "Merge the shards of a run, made on several machines."),
    "report": Verb(
        "report.report", "Print the tables of a run, or of several side by side; no model is asked."
    ),
    "page": Verb(
        "page.page", "Write one HTML page with the tables, answers and pictures of runs; it works offline."
    ),
    "board": Verb("board.app", "Write a leaderboard as a static site, and verify submissions to one."),
    "score": Verb("score.score", "Grade a stored run, or predictions made elsewhere, under other rules."),
    "compare": Verb(
        "compare.compare",
        "Compare a run with others: settings, then paired differences with intervals and tests.",
    ),
    "check": Verb("check.check", "Compare a run with a baseline, and fail if it got worse."),
    "show": Verb(
        "show.show", "Show one question: a sheet of its pictures at all levels, its text, and replies."
    ),
    "figures": Verb(
        "figures.figures", "Draw the figures of a report for a paper: as SVG and PDF, of one column."
    ),
    "quality": Verb("quality.quality", "Measure the quality of pictures with BRISQUE, NIQE and MUSIQ."),
    "cite": Verb("cite.cite", "Print BibTeX entries, and for each run a paragraph of methods."),
    "export": Verb(
        "export.export",
        "Write a run's replies or scores in the formats of other tools, or log its scores.",
    ),
    "data": Verb("data.app", "List, download and check benchmark files."),
    "clean": Verb(
        "clean.clean", "List the caches of mmdbench with their sizes, and free those that are named."
    ),
}
"""Every verb in the order of `mmdbench --help`."""


class _Group(VerbGroup):
    verbs = VERBS


app = typer.Typer(
    name="mmdbench",
    cls=_Group,
    help="Measure how much a vision-language model loses on degraded images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's Markdown, which typer imports for it, takes longer than all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from mmdbench._version import __version__

        say(f"mmdbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line."""
    replace_unprintable()
    try:
        with end_at_stop_signals(end_stopped):
            app()
    except KeyboardInterrupt:  # before or after the verb
        print_stopped()
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - outside the verbs, which guard themselves
        print_unexpected(error)
        sys.exit(UNEXPECTED)
    finally:
        gc.freeze()  # Python looks for garbage when it ends, which takes a sixth of a short verb
