"""A leaderboard as a static site, and the verification of a submission to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.library.options import local_path
from mmdbench.library.report import EXAMPLES, load_report, source_folders
from mmdbench.library.user_interface import UserInterface
from mmdbench.report.board.rankings import BoardGroup, published_groups, submission_groups
from mmdbench.report.board.site import board_html
from mmdbench.report.board.submission import Submission, make_submission, read_submission, submission_text
from mmdbench.report.board.verification import SubmissionCheck
from mmdbench.report.board.verification import verify_submission as verify
from mmdbench.report.published import is_published, published_names
from mmdbench.run.folder import folder_name
from mmdbench.system.files import make_folder, write_atomic

__all__ = ["BoardSummary", "SubmissionCheck", "make_board", "verify_submission"]

_SITE = "index.html"
_PAGES, _SUBMISSIONS = "pages", "submissions"

_Links = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BoardSummary:
    """A board that was written: its HTML file, its submissions, and the titles of its groups."""

    path: Path
    submissions: tuple[Path, ...]
    groups: tuple[str, ...]


def make_board(
    runs: Sequence[Any],
    out: str | Path,
    *,
    published: bool = True,
    examples: int = EXAMPLES,
    folders: tuple[str | Path | None, str | Path | None] = (None, None),
    interface: UserInterface | None = None,
) -> BoardSummary:
    """Write a leaderboard: `index.html`, a submission of each run, and the page of each.

    Args:
        runs: Runs, folders of runs, files of submissions, and names of published results. A submission is
            copied as it is; it has no page, as its replies are not there.
        out: The folder of the site.
        published: Add every published result.
        examples: Most examples with pictures on the page of a run.
        folders: Folders of benchmark files and of pictures that a TSV names; None for the usual ones.
        interface: Shows the progress; nothing by default.

    Returns:
        The files and the groups of results that may be compared.

    Raises:
        UsageError: A run is of another task than `answer`, or has no score.
        StoreError: A folder holds no run.
        DataError: A submission is damaged or was changed.
    """
    shows, folder = interface or UserInterface(quiet=True), local_path(out)
    named = [str(run) for run in runs if isinstance(run, str) and is_published(run)]
    labelled = {name.partition("=")[0]: name for name in named}
    names = list(dict.fromkeys(published_names() if published else ()) | labelled)
    names = [labelled.get(name, name) for name in names]
    given = [run for run in runs if not (isinstance(run, str) and is_published(run))]
    if not (given or names):
        raise UsageError("A board must show a result, got none.", hint="Name a run or paper:clear-rl.")
    reports = [None if _is_file(run) else load_report(run) for run in given]
    pairs = zip(given, reports, strict=True)
    made = [make_submission(own.results[0]) if own else read_submission(Path(run)) for run, own in pairs]
    groups: list[BoardGroup] = published_groups(names)  # before anything is written: a name may be unknown
    links, files = [], []
    for stem, one, own in zip(_stems(made), made, reports, strict=True):
        files.append(make_folder(folder / _SUBMISSIONS) / f"{stem}.json")
        write_atomic(files[-1], submission_text(one.record))
        links.append(_links(stem, page=own is not None))
        if own:
            place = make_folder(folder / _PAGES) / f"{stem}.html"
            own.page(place, examples=examples, data_dir=folders[0], image_root=folders[1], interface=shows)
    groups[:0] = submission_groups(made, links)
    write_atomic(make_folder(folder) / _SITE, board_html(groups, "Leaderboard").encode("utf-8", "replace"))
    return BoardSummary(folder / _SITE, tuple(files), tuple(group.title for group in groups))


def verify_submission(
    submission: str | Path,
    run: Any,
    *,
    sample: int = 50,
    data_dir: str | Path | None = None,
    image_root: str | Path | None = None,
) -> SubmissionCheck:
    """Grade the replies of a submission's run again, and make a sample of its pictures again.

    Args:
        submission: The file of the submission.
        run: The run's folder, or the run.
        sample: Number of requests, drawn anew in each call, whose pictures are made again; 0 for all.
        data_dir: Folder of benchmark files.
        image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.

    Returns:
        The problems, each with its place, and the numbers of grades and pictures that were compared.

    Raises:
        DataError: The submission is damaged.
        StoreError: The folder holds no run, or one that is damaged.
    """
    one = read_submission(Path(submission), changed=True)
    folder = Path(getattr(run, "folder", run))
    return verify(one, folder, sample=sample, folders=source_folders(data_dir, image_root))


def _is_file(run: Any) -> bool:
    """True for a path of a submission's file, which need not be there."""
    return isinstance(run, (str, Path)) and Path(run).suffix == ".json" and not Path(run).is_dir()


def _stems(submissions: Sequence[Submission]) -> list[str]:
    """Names of files after the names of the runs, each once."""
    stems: dict[str, None] = {}
    for one in submissions:
        stem = plain = folder_name(one.name).strip(".") or "run"
        number = 1
        while stem.lower() in map(str.lower, stems):
            number += 1
            stem = f"{plain}-{number}"
        stems[stem] = None
    return list(stems)


def _links(stem: str, *, page: bool) -> _Links:
    submission = ("submission", f"{_SUBMISSIONS}/{stem}.json")
    return (("page", f"{_PAGES}/{stem}.html"), submission) if page else (submission,)
