"""The command line: one file for each verb, which parses options, calls the library and prints.

Verbs import what they need only when they run, so that `mmdbench --help` starts fast.
"""

from __future__ import annotations

import sys

import typer

from mmdbench.cli import (
    assign,
    build,
    calibrate,
    check,
    cite,
    compare,
    corrupt,
    data,
    demo,
    doctor,
    evaluate,
    export,
    figures,
    gallery,
    listing,
    merge,
    page,
    quality,
    replay,
    report,
    score,
    show,
    verify,
)
from mmdbench.cli._shared.errors import (
    INTERRUPTED,
    UNEXPECTED,
    end_stopped,
    guarded,
    print_stopped,
    print_unexpected,
    replace_unprintable,
)
from mmdbench.cli._shared.output import say
from mmdbench.system.stop_signals import end_at_stop_signals

__all__ = ["app", "main"]

app = typer.Typer(
    name="mmdbench",
    help="Measure how much a vision-language model loses on degraded images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
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


app.command("demo")(guarded(demo.demo))
app.command("list")(guarded(listing.list_names))
app.command("corrupt")(guarded(corrupt.corrupt))
app.command("gallery")(guarded(gallery.gallery))
app.command("calibrate")(guarded(calibrate.calibrate))
app.command("build")(guarded(build.build))
app.command("verify")(guarded(verify.verify))
app.command("replay")(guarded(replay.replay))
app.command("eval")(guarded(evaluate.evaluate))
app.command("assign")(guarded(assign.assign))
app.command("doctor")(guarded(doctor.doctor))
app.command("merge")(guarded(merge.merge))
app.command("report")(guarded(report.report))
app.command("page")(guarded(page.page))
app.command("score")(guarded(score.score))
app.command("compare")(guarded(compare.compare))
app.command("check")(guarded(check.check))
app.command("show")(guarded(show.show))
app.command("figures")(guarded(figures.figures))
app.command("quality")(guarded(quality.quality))
app.command("cite")(guarded(cite.cite))
app.command("export")(guarded(export.export))
app.add_typer(data.app, name="data")


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
