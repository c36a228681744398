"""`mmdbench board`: a leaderboard from result files, and the verification of a submission."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli._shared.lazy_verbs import Group, VerbCommand
from mmdbench.cli._shared.output import EXAMPLES, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import FILE, LOCAL, RUN

__all__ = ["app"]

_WRONG = 1
_CANNOT_TELL = 3
_MOST_LINES = 20


class _Board(Group):
    """The group of the verb: without the word of a command, the default one is meant."""

    default = "make"

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the words of a call."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Board,
    name="board",
    help="Write a leaderboard as a static site, and verify submissions to one.",
    no_args_is_help=True,
    add_completion=False,
)


@guarded
def make(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            parser=RUN,
            help="Folders of runs, files of submissions, and published results such as paper:clear-rl.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", parser=LOCAL, help="Folder of the site; its page is index.html.")
    ] = Path("board"),
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Add every published result.")
    ] = True,
    examples: Annotated[int, typer.Option(min=0, help="Most examples with pictures.")] = EXAMPLES,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    quiet: opts.Quiet = False,
    corruption: opts.CorruptionCode = None,
) -> None:
    """Write a leaderboard of runs and submissions; `mmdbench board RUN -o DIR` is the same."""
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library.board import make_board

    use_corruptions(opts.split_option(corruption))
    made = make_board(
        runs or (),
        out,
        published=published,
        examples=examples,
        folders=(data_dir, image_root),
        interface=Terminal(quiet=quiet),
    )
    for title in made.groups:
        say(f"  {title}")
    for path in made.submissions:
        say(f"  submission: {path}")
    groups = f"{len(made.groups)} group{'s' if len(made.groups) > 1 else ''}"
    say(f"Written to {made.path}: {groups} of results that may be compared.")


@guarded
def verify(
    submission: Annotated[Path, typer.Argument(parser=FILE, help="File of a submission.")],
    run: opts.RunFolder,
    sample: Annotated[
        int, typer.Option(help="Make the pictures of only so many requests again; 0: all.", min=0)
    ] = 50,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    corruption: opts.CorruptionCode = None,
) -> None:
    """Grade the replies of a submission's run again, and make a sample of its pictures again.

    Exit code: 0 all right, 1 something differs, 3 pictures could not be made, as a benchmark is missing.
    """
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library.board import verify_submission

    use_corruptions(opts.split_option(corruption))
    found = verify_submission(submission, run, sample=sample, data_dir=data_dir, image_root=image_root)
    for line in found.problems[:_MOST_LINES]:
        say(line)
    if len(found.problems) > _MOST_LINES:
        say(f"… and {len(found.problems) - _MOST_LINES} more.")
    for line in found.missing:
        say(f"Not made again: {line}", err=True)
    verdict = f"{len(found.problems)} wrong." if found.problems else "all right."
    say(f"{found.grades} grades compared, {found.pictures} pictures made again: {verdict}")
    if found.problems:
        raise typer.Exit(_WRONG)
    if found.missing:
        raise typer.Exit(_CANNOT_TELL)


app.command("make", cls=VerbCommand)(make)
app.command("verify", cls=VerbCommand)(verify)
