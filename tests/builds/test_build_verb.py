"""The verbs build, verify and replay as a user meets them."""

from __future__ import annotations

import base64
import io
import re
import warnings
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from build_samples import bomb, photograph, write_tsv
from mmdbench.benches import open_bench
from mmdbench.benches.catalog import BenchInfo
from mmdbench.benches.fetch import ChecksumWarning, DownloadProgress, FetchSettings
from mmdbench.builds.estimate import TableScale, estimate_build
from mmdbench.builds.measured_scale import measure_scale
from mmdbench.builds.plan import BuildPlan, plan_benches
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli.build import build
from mmdbench.cli.replay import replay
from mmdbench.cli.verify import verify
from mmdbench.corruptions.spec_file import load_spec

app = typer.Typer()
for verb in (build, verify, replay):
    app.command(verb.__name__)(guarded(verb))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_build_verify_and_replay(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    out = tmp_path / "out"
    built = run("build", "--bench", source, "--level", "hard", "-o", out, "--workers", 2)
    assert built.exit_code == 0, built.output
    assert "3 rows made" in built.output
    assert f"To check: mmdbench verify {out}" in built.output
    again = run("build", "--bench", source, "--level", "hard", "-o", out, "--quiet")
    assert "0 rows made" in again.output
    assert "3 rows were there" in again.output
    checked = run("verify", out)
    assert checked.exit_code == 0, checked.output
    assert "3 pictures made again, 0 decoded: all right." in checked.output
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG")):
        made = run("replay", out, "--index", 1, "-o", tmp_path / name)
        assert made.exit_code == 0, made.output
        assert Image.open(io.BytesIO((tmp_path / name).read_bytes())).format == kind
    assert run("replay", out, "--index", 1, "-o", tmp_path / "a.webp").exit_code == 2


def test_exit_codes_of_verify(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 3)
    out = tmp_path / "out"
    run("build", "--bench", source, "--level", "hard", "-o", out)
    source.rename(tmp_path / "moved.tsv")
    alone = run("verify", out)
    assert alone.exit_code == 3
    assert "only the files were checked" in alone.output
    assert run("verify", out, "--files-only").exit_code == 0
    named = run("verify", out, "--source", tmp_path / "moved.tsv")
    assert named.exit_code == 0
    assert "3 pictures made again, 0 decoded: all right." in named.output
    path = out / "own_hard.tsv"
    path.write_bytes(path.read_bytes()[:-5])
    wrong = run("verify", out, "--source", tmp_path / "moved.tsv")
    assert wrong.exit_code == 1
    assert "own_hard.tsv" in wrong.output
    assert run("verify", tmp_path).exit_code == 2


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 6)
    names = "mean_shift,graffiti"
    arguments = ("--bench", source, "--level", "low,hard", "--design", "grid", "--corruption", names)
    said = run("build", *arguments, "-o", tmp_path / "out", "--dry-run").output
    assert "own: 6 questions, family plain" in said
    assert "low, hard: 12 pictures (graffiti 6, mean_shift 6)" in said
    assert "24 pictures in 4 tsv outputs" in said
    assert "mean_shift takes" in said
    assert not (tmp_path / "out").exists()


def test_without_numba_the_plan_says_what_it_would_save(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 6)
    plan = BuildPlan((str(source),), design="grid", corruptions=("mean_shift",))
    planned = plan_benches(plan, [open_bench(source)], load_spec())
    with_numba, without = (estimate_build(plan, planned, 1, numba=fast) for fast in (True, False))
    assert with_numba.saved_seconds == 0
    assert without.saved_seconds > 10 * with_numba.slow_seconds
    assert without.cpu_seconds - without.saved_seconds == pytest.approx(with_numba.cpu_seconds)


def test_the_hint_about_numba_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdbench.builds import estimate

    monkeypatch.setattr(estimate, "find_spec", lambda _: None)
    source = write_tsv(tmp_path / "own.tsv", 3)
    arguments = ("--bench", source, "-o", tmp_path / "out", "--dry-run", "--design", "grid")
    assert "pip install 'mmdbench[fast]'" in run("build", *arguments).output
    assert "mmdbench[fast]" not in run("build", *arguments, "--corruption", "graffiti").output


def test_estimates_are_of_the_right_size(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 6, width=400, height=300)
    plan = BuildPlan(
        (str(source),), levels=("hard",), design="grid", corruptions=("graffiti", "gaussian_noise")
    )
    estimate = estimate_build(plan, plan_benches(plan, [open_bench(source)], load_spec()), 1)
    run(
        "build",
        "--bench",
        source,
        "--level",
        "hard",
        "--design",
        "grid",
        "--corruption",
        "graffiti,gaussian_noise",
        "-o",
        tmp_path / "out",
    )
    size = sum(p.stat().st_size for p in (tmp_path / "out").glob("*.tsv"))
    assert size / 3 < estimate.bytes < size * 3
    assert estimate.variants == {("hard", "graffiti"): 6, ("hard", "gaussian_noise"): 6}


def test_an_estimate_is_what_was_measured_on_this_machine(tmp_path: Path) -> None:
    """All of a build is measured here: what took ten seconds is estimated at ten, and takes these bytes."""
    source = write_tsv(tmp_path / "own.tsv", 4, width=200, height=150)
    plan = BuildPlan((str(source),), levels=("hard",), corruptions=("gaussian_noise",), codec="jpeg:60")
    planned, times = plan_benches(plan, [open_bench(source)], load_spec()), iter((0.0, 10.0))
    scale = measure_scale(plan, planned, load_spec(), 1, clock=lambda: next(times))
    estimate = estimate_build(plan, planned, 1, scale=scale)
    assert estimate.wall_seconds == pytest.approx(10)
    more = ("--level", "hard", "--corruption", "gaussian_noise", "--codec", "jpeg:60")
    assert run("build", "--bench", source, *more, "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "own_hard.tsv").stat().st_size == pytest.approx(estimate.bytes, rel=0.02)


def test_measuring_leaves_out_pictures_that_are_broken(tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    whole = source.read_text()
    broken = base64.b64encode(photograph(0)[:-900]).decode()
    source.write_text(f"{whole}7\tBroken?\tyes\tno\tA\tc0\t{broken}\n")
    plan = BuildPlan((str(source),), levels=("hard",), corruptions=("graffiti",))
    planned = plan_benches(plan, [open_bench(source)], load_spec())
    assert measure_scale(plan, planned, load_spec(), 1, clock=iter((0.0, 1.0)).__next__).seconds > 1
    source.write_text(whole.partition("\n")[0] + f"\n7\tBroken?\tyes\tno\tA\tc0\t{broken}\n")
    planned = plan_benches(plan, [open_bench(source)], load_spec())
    assert measure_scale(plan, planned, load_spec(), 1) == TableScale()


def test_rows_that_refer_to_another_picture_are_not_counted_as_pictures(tmp_path: Path) -> None:
    """Three of four rows of MMBench are rotations that show the picture of the first."""
    rows = (tmp_path / "rows").with_suffix(".tsv")
    write_tsv(rows, 2)
    turned = "".join(
        f"{n * 1_000_000 + i}\tTurned?\tyes\tno\tA\tc0\t{i}\n" for n in (1, 2, 3) for i in (0, 1)
    )
    rows.write_text(rows.read_text() + turned)
    bench = open_bench(rows)
    estimates = {}
    for kind in ("tsv", "folder"):
        plan = BuildPlan((str(rows),), levels=("hard",), format=kind, corruptions=("graffiti",))
        estimates[kind] = estimate_build(plan, plan_benches(plan, [bench], load_spec()), 1)
    assert estimates["tsv"].variants == {("hard", "graffiti"): 2}
    assert estimates["folder"].variants == {("hard", "graffiti"): 8}
    assert estimates["folder"].cpu_seconds == pytest.approx(4 * estimates["tsv"].cpu_seconds)
    built = run("build", "--bench", rows, "--level", "hard", "-o", tmp_path / "out")
    assert "hard: 2 pictures" in built.output
    assert "8 rows, 2 pictures, 6 rows refer to them" in built.output


def test_a_web_page_in_place_of_a_picture_is_named(tmp_path: Path) -> None:
    source = tmp_path / "own.tsv"
    page = base64.b64encode(b"<!DOCTYPE html>" + bytes(200)).decode()
    source.write_text(f"index\tquestion\tA\tB\tanswer\timage\n7\tWhat?\tx\ty\tA\t{page}\n")
    said = run("build", "--bench", source, "--level", "hard", "-o", tmp_path / "out")
    assert said.exit_code == 2
    assert "own.tsv, line 2, column 'image', index 7: this is a web page" in said.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--design", "released"), "nothing to build"),
        (("--format", "zip"), "Unknown format 'zip'"),
        (("--codec", "jpeg:0"), "The codec must be"),
        (("--level", "severe"), "Unknown level 'severe'"),
        (("--corruption", "motionblur"), "Did you mean 'motion_blur'"),
        (("--design", "balanced:99"), "balanced:99 needs 99"),
        (("--sample", "x"), "The sample must be"),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    source = write_tsv(tmp_path / "own.tsv", 2)
    result = run("build", "--bench", source, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 10_000)])
def test_a_picture_made_to_exhaust_memory_is_named(tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "own.tsv"
    picture = base64.b64encode(bomb(*size)).decode()
    source.write_text(f"index\tquestion\tA\tB\tanswer\timage\n7\tWhat?\tx\ty\tA\t{picture}\n")
    said = run("build", "--bench", source, "--level", "hard", "-o", tmp_path / "out")
    assert said.exit_code == 2
    assert "own.tsv, line 2, column 'image', index 7: " in said.output
    assert "Traceback" not in said.output


@pytest.mark.parametrize(
    ("rows", "said"), [("", "no rows"), ("1\tWhat?\tx\ty\tA\t\n", "No row has a picture")]
)
def test_a_file_without_pictures_is_not_built(tmp_path: Path, rows: str, said: str) -> None:
    source = tmp_path / "own.tsv"
    source.write_text("index\tquestion\tA\tB\tanswer\timage\n" + rows)
    built = run("build", "--bench", source, "-o", tmp_path / "out")
    assert built.exit_code == 2
    assert said in built.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_sample_without_questions_of_a_benchmark_is_refused_first(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    sources = [write_tsv(tmp_path / f"{name}.tsv", 3) for name in ("one", "MMBench_DEV_EN")]
    benches = [word for source in sources for word in ("--bench", source)]
    made = run("build", *benches, "--sample", 1, "--level", "hard", "-o", tmp_path / "out", *more)
    assert made.exit_code == 2, made.output
    said = re.search(r"The sample 1 has no question of (one|MMBench DEV EN)\.", made.output)
    assert said, made.output
    assert "--sample 20/bench" in made.output
    assert not (tmp_path / "out").exists()


def test_a_checksum_that_differs_is_one_plain_line() -> None:
    said: list[str] = []

    def verb() -> None:
        kinds = (ChecksumWarning, UserWarning)
        said.extend(warnings.formatwarning("it has the MD5 0", kind, "fetch.py", 7, "") for kind in kinds)

    before = warnings.formatwarning
    guarded(verb)()
    assert said == [
        "mmdbench: warning: it has the MD5 0\n",
        before("it has the MD5 0", UserWarning, "fetch.py", 7, ""),
    ]
    assert warnings.formatwarning is before


def test_a_build_downloads_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download of gigabytes shows its progress."""
    seen: list[FetchSettings | None] = []
    path = write_tsv(tmp_path / "MMStar.tsv", 2)  # of `mini`, which is no longer found after this line

    def fetch(_: BenchInfo, *, settings: FetchSettings | None = None, **__: object) -> Path:
        seen.append(settings)
        return path

    monkeypatch.setattr("mmdbench.benches.lookup.fetch_bench", fetch)
    built = run("build", "--bench", "MMStar", "--level", "hard", "-o", tmp_path / "out")
    assert built.exit_code == 0, built.output
    assert seen[0] is not None
    seen[0].progress(DownloadProgress("MMStar.tsv", 5_000_000, 10_000_000))
    assert "MMStar: 2 questions" in built.output
