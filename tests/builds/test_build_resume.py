"""Builds that are interrupted, run at the same time, are refused or run out of disk space."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from build_samples import build, contents, load_proof, photograph, write_tsv
from child_processes import Child, run_program
from file_limits import limited
from mmdbench.benches import open_bench
from mmdbench.builds import BuildPlan, BuildProgress, BuildSettings, BuildSummary, run_build
from mmdbench.builds import build as build_module
from mmdbench.builds.pipeline import Lookahead, in_order
from mmdbench.builds.source_benches import SourceBenches
from mmdbench.builds.verify import verify_build
from mmdbench.cli._shared.errors import guarded
from mmdbench.errors import ImageDecodeError, LockedError, StoreError, UsageError
from mmdbench.system.locks import folder_lock

LEVELS = ("hard",)
PLAN = {"levels": LEVELS, "design": "grid", "corruptions": ("graffiti", "scan_lines")}
FORMATS = ("tsv", "folder", "webdataset")


class BreakError(Exception):
    pass


@pytest.fixture
def break_after(monkeypatch: pytest.MonkeyPatch):
    """Make the next build save after every row, and stop it after so many."""
    real = build_module.write_row

    def arm(rows: int | None) -> None:
        written = 0

        def write(*args: object) -> None:
            nonlocal written
            if written == rows:
                raise BreakError
            written += 1
            real(*args)

        monkeypatch.setattr(build_module, "write_row", write)

    # Private: users do not choose when a build is saved.
    monkeypatch.setattr(build_module, "_CHECKPOINT_SECONDS", 0)
    return arm


@pytest.mark.parametrize("kind", FORMATS)
def test_an_interrupted_build_resumes_to_the_same_bytes(tmp_path: Path, break_after, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 7)
    build(source, tmp_path / "whole", format=kind, **PLAN)
    for rows in (2, 0, 3):
        break_after(rows)
        with pytest.raises(BreakError):
            build(source, tmp_path / "out", format=kind, **PLAN)
        assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith("own")]
        assert not json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]
    break_after(None)
    summary = build(source, tmp_path / "out", format=kind, **PLAN)
    assert (summary.earlier, summary.made, summary.remade) == (5, 2, ())
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out" / ".parts").exists()


@pytest.mark.parametrize(("kind", "pictures"), [("tsv", 5), ("folder", 7)])
def test_progress_counts_the_pictures_that_are_made(
    tmp_path: Path, break_after, kind: str, pictures: int
) -> None:
    """Two rows refer to the picture of another: in a TSV nothing is made for them."""
    source = write_tsv(tmp_path / "own.tsv", 5)
    turned = "".join(f"{1_000_000 + n}\tTurned?\tyes\tno\tA\tc0\t{n}\n" for n in (0, 1))
    source.write_text(source.read_text() + turned)
    told: list[tuple[int, int]] = []

    def resume() -> None:
        plan = BuildPlan((str(source),), levels=("hard",), format=kind)
        settings = BuildSettings(workers=1, on_progress=lambda p: told.append((p.done, p.total)))
        run_build(plan, [open_bench(source)], tmp_path / "out", settings)

    break_after(2)
    with pytest.raises(BreakError):
        resume()
    assert told[0] == (0, pictures)
    told.clear()
    break_after(None)
    resume()
    assert told[0] == (0, pictures)
    assert told[-1] == (pictures - 2, pictures - 2)


def test_progress_names_the_slow_corruption(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    for name, note in (("mean_shift", "mean_shift is the slow one"), ("graffiti", "")):
        notes: list[str] = []
        plan = BuildPlan((str(source),), levels=("low",), corruptions=(name,))
        settings = BuildSettings(workers=1, on_progress=lambda p: notes.append(p.note))  # noqa: B023
        run_build(plan, [open_bench(source)], tmp_path / name, settings)
        assert notes == ["", note, note]


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_written_after_the_checkpoint_are_cut_off(tmp_path: Path, break_after, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 5)
    build(source, tmp_path / "whole", format=kind, **PLAN)
    break_after(3)
    with pytest.raises(BreakError):
        build(source, tmp_path / "out", format=kind, **PLAN)
    for path in (tmp_path / "out" / ".parts").rglob("*.*"):
        if path.suffix in (".tsv", ".jsonl", ".tar"):
            with path.open("ab") as file:
                file.write(b"half a ro")
    break_after(None)
    assert build(source, tmp_path / "out", format=kind, **PLAN).remade == ()
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "checkpoint"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_unfinished_file_is_made_anew(tmp_path: Path, break_after, kind: str, damage: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 5)
    build(source, tmp_path / "whole", format=kind, **PLAN)
    break_after(3)
    with pytest.raises(BreakError):
        build(source, tmp_path / "out", format=kind, **PLAN)
    parts = tmp_path / "out" / ".parts" / "own"
    victim = {
        "tsv": "own_hard_graffiti.tsv",
        "folder": "own_hard_graffiti/images/1.jpg",
        "webdataset": "own_hard_graffiti-00000.tar",
    }[kind]
    path = parts / ("checkpoint.json" if damage == "checkpoint" else victim)
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            data[:40] + bytes([data[40] ^ 1]) + data[41:] if damage == "flip" else data[: len(data) // 2]
        )
    break_after(None)
    assert build(source, tmp_path / "out", format=kind, **PLAN).remade == ("own",)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_killed_between_the_moves_of_finished_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "whole", **PLAN)
    real = build_module.move_output
    moved = []

    def move(*args: object, **kwargs: object) -> None:
        if moved:
            raise BreakError
        moved.append(real(*args, **kwargs))

    monkeypatch.setattr(build_module, "move_output", move)
    with pytest.raises(BreakError):
        build(source, tmp_path / "out", **PLAN)
    monkeypatch.setattr(build_module, "move_output", real)
    assert (tmp_path / "out" / "own_hard_graffiti.tsv").exists()
    summary = build(source, tmp_path / "out", **PLAN)
    assert (summary.made, summary.earlier, summary.remade) == (0, 3, ())
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_finished_build_is_left_alone(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", **PLAN)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.tsv")}
    summary = build(source, tmp_path / "out", workers=1, **PLAN)
    assert (summary.made, summary.earlier) == (0, 3)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.tsv")} == times


@pytest.mark.parametrize("kind", FORMATS)
def test_a_finished_file_that_was_damaged_is_made_anew(tmp_path: Path, kind: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", format=kind, **PLAN)
    before = contents(tmp_path / "out")
    path = next(p for p in sorted((tmp_path / "out").rglob("own_hard_graffiti*")) if p.suffix != ".jsonl")
    path = path / "images" / "0.jpg" if path.is_dir() else path
    path.write_bytes(path.read_bytes()[:-1])
    assert build(source, tmp_path / "out", format=kind, **PLAN).remade == ("own",)
    assert contents(tmp_path / "out") == before


def test_another_plan_is_refused_with_what_differs(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    build(source, tmp_path / "out", **PLAN)
    before = contents(tmp_path / "out")
    with pytest.raises(UsageError, match=r"codec is jpeg:95 there, png here"):
        build(source, tmp_path / "out", codec="png", **PLAN)
    with pytest.raises(UsageError, match=r"seed is 0 there, 3 here"):
        build(source, tmp_path / "out", seed=3, **PLAN)
    source.write_text(source.read_text().replace("Question 1", "Question X"))
    with pytest.raises(UsageError, match="own sha256"):
        build(source, tmp_path / "out", **PLAN)
    assert contents(tmp_path / "out") == before


def test_an_unfinished_build_is_not_finished_with_other_versions(
    tmp_path: Path, break_after, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    break_after(1)
    with pytest.raises(BreakError):
        build(source, tmp_path / "out", **PLAN)
    break_after(None)
    versions = build_module.versions()
    monkeypatch.setattr(build_module, "versions", lambda: {**versions, "pillow": "0.1"})
    with pytest.raises(UsageError, match=r"pillow is .* there, 0\.1 here"):
        build(source, tmp_path / "out", **PLAN)
    monkeypatch.setattr(build_module, "versions", lambda: {**versions, "numba": "0.1"})
    assert build(source, tmp_path / "out", **PLAN).made == 2


def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "own_hard_graffiti.tsv").write_text("mine")
    with pytest.raises(UsageError, match=r"own_hard_graffiti\.tsv has the name of an output"):
        build(source, tmp_path / "out", **PLAN)
    assert (tmp_path / "out" / "own_hard_graffiti.tsv").read_text() == "mine"


def test_two_builds_in_one_folder_are_refused(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    with (
        folder_lock(tmp_path / "out", "building"),
        pytest.raises(LockedError, match="Another process is building"),
    ):
        build(source, tmp_path / "out", **PLAN)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    (tmp_path / "out").write_text("")
    with pytest.raises(StoreError, match="in the way"):
        build(source, tmp_path / "out", **PLAN)


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
def test_a_row_with_a_broken_picture_is_left_out_and_named_in_the_log(
    tmp_path: Path, break_after, kind: str
) -> None:
    source = write_tsv(tmp_path / "own.tsv", 5)
    lines = source.read_text().splitlines()
    lines[3] = lines[3][: len(lines[3]) // 2]
    lines[4] = lines[4].rpartition("\t")[0] + "\t2"  # the picture of the broken row
    lines[5] = lines[5].rpartition("\t")[0] + "\t"
    source.write_text("\n".join(lines) + "\n")
    break_after(3)
    with pytest.raises(BreakError):
        build(source, tmp_path / "out", format=kind, **PLAN)
    break_after(None)
    build(source, tmp_path / "out", format=kind, **PLAN)
    build(source, tmp_path / "whole", format=kind, **PLAN)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [(o["rows"], o["left_out"]) for o in manifest["outputs"]] == [(2, 2), (2, 2)]
    assert manifest["benches"][0]["without_picture"] == 1
    log = (tmp_path / "out" / "manifests" / "own_hard_graffiti.jsonl").read_text().splitlines()
    first, second = [json.loads(line) for line in log[3:5]]
    assert first["index"] == 2
    assert first["left_out"].startswith("own.tsv, line 4, column 'image', index 2: ")
    assert second["index"] == 3
    assert second["left_out"]
    found = SourceBenches({"own": open_bench(source)})
    assert verify_build(tmp_path / "out", found).problems == ()
    assert verify_build(tmp_path / "out", SourceBenches()).problems == ()


@pytest.mark.parametrize("cut", [True, False])
def test_a_bad_picture_stops_a_build_that_wants_it_so(tmp_path: Path, cut: bool) -> None:
    source = write_tsv(tmp_path / "own.tsv", 4)
    lines = source.read_text().splitlines()
    lines[3] = lines[3][: len(lines[3]) // 2] if cut else lines[3].rpartition("\t")[0] + "\t"
    source.write_text("\n".join(lines) + "\n")
    plan = BuildPlan((str(source),), **PLAN)
    with pytest.raises(ImageDecodeError, match=r"own.tsv, line 4, column 'image', index 2"):
        run_build(plan, [open_bench(source)], tmp_path / "out", BuildSettings(on_bad_image="error"))
    assert not list((tmp_path / "out").glob("*.tsv"))


def test_a_picture_above_the_limit_is_left_out_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2, width=40, height=30)
    write_tsv(tmp_path / "big.tsv", 3, width=80, height=60)
    lines = source.read_text().splitlines() + (tmp_path / "big.tsv").read_text().splitlines()[3:]
    source.write_text("\n".join(lines) + "\n")
    plan = BuildPlan((str(source),), **PLAN)
    for limit, rows in ((2000, 2), (4800, 3)):
        settings = BuildSettings(max_pixels=limit)
        summary = run_build(plan, [open_bench(source)], tmp_path / str(limit), settings)
        assert [built.rows for built in summary.outputs] == [rows, rows]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_errors_in_their_place(workers: int) -> None:
    def make(n: int, _stop: object) -> int:
        time.sleep(0.002 * (5 - n % 5))
        if n == 11:
            raise BreakError
        return n

    results = in_order(make, range(20), Lookahead(workers, lambda _: 1))
    assert [next(results) for _ in range(11)] == list(range(11))
    with pytest.raises(BreakError):
        next(results)


def test_work_does_not_run_far_ahead_of_the_writer() -> None:
    started = []

    def make(n: int, _stop: object) -> int:
        started.append(n)
        return n

    for value in in_order(make, range(40), Lookahead(2, lambda _: 40 << 20)):
        time.sleep(0.005)
        assert max(started) <= value + 4


def test_results_that_grow_heavier_shorten_the_queue() -> None:
    def make(n: int, _stop: object) -> int:
        return n

    ahead = Lookahead(2, lambda n: 1 if n < 30 else 40 << 20)
    assert list(in_order(make, range(90), ahead)) == list(range(90))


def build_with_checkpoints(source: str, folder: str, limit: str) -> None:
    """A verb that saves after every row, tells what it does, and may write files of so many bytes only."""
    import resource

    build_module._CHECKPOINT_SECONDS = 0  # noqa: SLF001 - users do not choose when a build is saved
    bench = open_bench(source)
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))

    def told(progress: object) -> None:
        if progress.done:
            print("going", flush=True)  # noqa: T201 - the test waits for it

    def verb() -> None:
        settings = BuildSettings(workers=2, on_progress=told)
        run_build(BuildPlan((source,), **PLAN), [bench], Path(folder), settings)

    try:
        guarded(verb)()
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)


def start(source: Path, folder: Path, limit: int = 0) -> Child:
    return Child([source, folder, limit], build_with_checkpoints)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits on Windows")
def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 8)
    build(source, tmp_path / "whole", **PLAN)
    with start(source, tmp_path / "out", 20_000) as child:
        assert child.wait() == StoreError.exit_code, child.stderr
    assert "Cannot write" in child.stderr
    assert "Traceback" not in child.stderr
    assert not list((tmp_path / "out").glob("*.tsv"))
    assert build(source, tmp_path / "out", **PLAN).earlier > 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def on_row(number: int, act: Callable[[], object]) -> Callable[[BuildProgress], None]:
    """A progress callback that acts once, after so many pictures."""
    done = []

    def see(progress: BuildProgress) -> None:
        if progress.done == number and not done:
            done.append(act())

    return see


def watched(sources: list[Path], folder: Path, on_progress: Callable[..., None], kind: str) -> BuildSummary:
    plan = BuildPlan(tuple(map(str, sources)), levels=("hard",), format=kind)
    settings = BuildSettings(workers=1, on_progress=on_progress)
    return run_build(plan, [open_bench(source, answers="any") for source in sources], folder, settings)


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
@pytest.mark.parametrize("what", ["*.*", "manifests/*.jsonl"])
def test_a_part_file_that_is_removed_during_a_build_is_made_again(
    tmp_path: Path, kind: str, what: str
) -> None:
    source, out = write_tsv(tmp_path / "own.tsv", 4), tmp_path / "out"

    def remove() -> None:
        for path in [p for p in (out / ".parts" / "own").glob(what) if p.is_file()]:
            path.unlink()
        for path in (out / ".parts" / "own").glob("own_hard/metadata.jsonl"):
            path.unlink()

    summary = watched([source], out, on_row(3, remove), kind)
    assert summary.remade == ("own",)
    watched([source], tmp_path / "whole", lambda _: None, kind)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_build_is_not_complete_with_a_file_that_is_not_there(tmp_path: Path, kind: str) -> None:
    sources, out = [write_tsv(tmp_path / f"{name}.tsv", 3) for name in ("one", "two")], tmp_path / "out"

    def remove() -> None:
        (path,) = out.glob("one_hard/images/0.jpg" if kind == "folder" else "one_hard*")
        path.unlink()

    with pytest.raises(StoreError, match="was removed or changed while the build was running"):
        watched(sources, out, on_row(5, remove), kind)
    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert watched(sources, out, lambda _: None, kind).remade == ("one",)
    watched(sources, tmp_path / "whole", lambda _: None, kind)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
def test_a_file_limit_ends_a_build_of_any_format_with_one_error(tmp_path: Path, kind: str) -> None:
    source, out = write_tsv(tmp_path / "own.tsv", 4), tmp_path / "out"
    most = 1000 if kind == "folder" else 8000
    with limited(most=most), pytest.raises(StoreError, match=r"Cannot write .*ulimit -f"):
        watched([source], out, lambda _: None, kind)
    watched([source], out, lambda _: None, kind)
    watched([source], tmp_path / "whole", lambda _: None, kind)
    assert contents(out) == contents(tmp_path / "whole")


def test_too_many_open_files_end_a_build_and_leave_no_row_out(tmp_path: Path) -> None:
    picture = tmp_path / "own.jpg"
    picture.write_bytes(photograph())
    source = tmp_path / "own.tsv"
    source.write_text(f"index\tquestion\tA\tB\tanswer\timage_path\n0\tQ?\tx\ty\tA\t{picture.name}\n")
    image = open_bench(source).questions[0].images[0]
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    with (
        limited(resource.RLIMIT_NOFILE, free),
        pytest.raises(StoreError, match=r"Too many open files.*ulimit -n"),
    ):
        image.read()
    with limited(resource.RLIMIT_NOFILE, free + 6), pytest.raises(StoreError, match="Too many open files"):
        build(source, tmp_path / "out", design="grid", levels=("low", "mid", "hard"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
def test_ctrl_c_leaves_a_build_that_resumes(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 150, width=300, height=200)
    with start(source, tmp_path / "out") as child:
        # At the second call, the first row is behind a checkpoint.
        child.wait_until(lambda: child.stdout.startswith("going\ngoing\n"))
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130, child.stderr
    assert "stopped. Run the same command" in child.stderr
    assert "Traceback" not in child.stderr
    summary = build(source, tmp_path / "out", **PLAN)
    assert summary.earlier > 0
    assert summary.earlier + summary.made == 150


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_a_read_only_folder(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(StoreError, match="may not write there"):
        build(source, tmp_path / "out", **PLAN)


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    source = write_tsv(tmp_path / "own.tsv", 3)
    monkeypatch.setattr("mmdbench.system.unfinished_files.tempfile.mkstemp", refuse)
    with pytest.raises(StoreError, match=r"file system is read-only\. Name another folder"):
        build(source, tmp_path / "out", **PLAN)
    assert not list((tmp_path / "out").glob("own*"))


@pytest.mark.slow
def test_the_same_bytes_with_any_workers_and_after_many_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = int(os.environ.get("MMDBENCH_PROOF_ROWS", "40"))
    kills = int(os.environ.get("MMDBENCH_PROOF_KILLS", "4"))
    proof = load_proof()
    monkeypatch.setattr(proof, "start_child", lambda program, words: Child([program, *words], run_program))
    lines = proof.prove(tmp_path, rows, kills)
    assert lines[-1].startswith(f"verified: {rows} rows")
