"""Runs for boards: a benchmark on disk, and runs whose replies note their pictures."""

from __future__ import annotations

from mmdbench.report.board.submission import make_submission, submission_text
from mmdbench.results.graded_run import load_results
from page_runs import questions, write_bench, write_pictured_run


def right_below(limit, *, spared=()):
    """An answer that is right for questions with a lower index; at hard, only for the `spared` too."""

    def answer(q, level, _corruption):
        right = int(q.index) < limit and (level != "hard" or not spared or int(q.index) in spared)
        return q.answer if right else "ABCD"[("ABCD".index(q.answer) + 1) % 4]

    return answer


def write_board_run(folder, model="first", *, count=12, limit=8, **changes):
    """A run with pictures at clean and hard; its benchmark is in the folder `data` beside it."""
    asked = questions(count, text="?")
    if not (folder.parent / "data").exists():
        write_bench(folder.parent / "data", asked)
    changes.setdefault("levels", ("clean", "hard"))
    return write_pictured_run(folder, asked, right_below(limit), model=model, **changes)


def write_submission(path, run):
    """Write the submission of a run's folder; returns it."""
    one = make_submission(load_results(run))
    path.write_text(submission_text(one.record), "utf-8")
    return one
