"""A build on Ray gives the local build's bytes, also when workers are killed."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from engine_runs import QUIET
from mmdbench.benches import open_bench
from mmdbench.builds import BuildPlan, BuildSettings, run_build
from mmdbench.builds.pipeline import Lookahead, in_order
from mmdbench.builds.plan import plan_benches
from mmdbench.builds.ray_rows import by_ray, make_row_images
from mmdbench.builds.row_images import ImageMaker, RowMaker
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, MmdbenchError

ray = pytest.importorskip("ray")

MARK = f"MMDBENCH_TEST_CLUSTER={os.getpid()}".encode()
ENVIRONMENT = {**QUIET, "MMDBENCH_TEST_CLUSTER": str(os.getpid())}
PLAN = BuildPlan(("mini",), levels=("clean", "hard"), corruptions=("graffiti",), design="grid", sample="8")


@pytest.fixture(scope="module", autouse=True)
def _one_machine():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    run_build(PLAN, [open_bench("mini")], folder)
    return files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def build(folder: Path, workers: int = 0, on_progress=lambda _: None, plan: BuildPlan = PLAN):
    with by_ray() as make_rows:
        settings = BuildSettings(workers, on_progress, make_rows=make_rows)
        return run_build(plan, [open_bench("mini")], folder, settings)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_bytes_are_those_of_the_local_build(tmp_path, local, workers):
    build(tmp_path, workers)
    assert files_of(tmp_path) == local


def test_a_worker_killed_mid_way_loses_and_doubles_nothing(tmp_path, local):
    killed: list[int] = []

    def kill(progress) -> None:
        if progress.done and not killed:
            killed.extend(kill_task_workers())

    build(tmp_path, 2, kill)
    assert killed
    assert files_of(tmp_path) == local


def kill_task_workers() -> list[int]:
    """SIGKILL every process of this test's cluster that makes or made pictures."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        if line.startswith((b"ray::make_row_images", b"ray::IDLE")) and MARK in environ:
            os.kill(int(folder.name), signal.SIGKILL)
            found.append(int(folder.name))
    return found


class StoppedHereError(Exception):
    pass


def test_an_interrupted_build_resumes(tmp_path, local, monkeypatch):
    from mmdbench.builds import build as build_module

    # Private: users do not choose when a build is saved.
    monkeypatch.setattr(build_module, "_CHECKPOINT_SECONDS", -1.0)

    def leave(progress) -> None:
        if progress.done >= 4:
            raise StoppedHereError

    with pytest.raises(StoppedHereError):
        build(tmp_path, 2, leave)
    summary = build(tmp_path, 2)
    assert summary.earlier >= 1
    assert summary.earlier + summary.made == 8
    assert files_of(tmp_path) == local


def test_rows_in_flight_are_bounded(tmp_path):
    """No more rows are in flight than there may be workers, also if they are small."""
    bench = open_bench("mini")
    (planned,) = plan_benches(PLAN, [bench], load_spec())
    taken = []

    def rows():
        for row in planned.rows():
            taken.append(row.number)
            yield row

    maker = RowMaker(bench, ImageMaker(PLAN.as_run_plan(), load_spec(), as_cells=True))
    with by_ray() as make_rows, closing(make_rows(maker, rows(), 2)) as made:
        assert next(made).plan.number == 0
        for given in range(1, 5):
            assert len(taken) <= given + 2
            assert next(made).plan.number == given
    with closing(in_order(maker.make, planned.rows(), Lookahead(2, lambda _: 1))) as made:
        assert next(made).plan.number == 0


def test_another_version_on_a_node_is_refused():
    error = make_row_images(None, None, (), b"", {"pillow": "0.0"})  # type: ignore[arg-type]
    assert isinstance(error, MmdbenchError)
    assert "pillow" in str(error)


def test_a_broken_picture_is_named_as_in_a_local_build(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("index\tquestion\tA\tB\tanswer\timage\n1\tq\ta\tb\tA\t" + "Q" * 200 + "\n")
    plan = BuildPlan((str(path),), levels=("hard",), corruptions=("graffiti",), design="grid")
    said = []
    for name, settings in (("local", BuildSettings()), ("ray", None)):
        with by_ray() as make_rows, pytest.raises(DataError) as error:
            run_build(
                plan, [open_bench(path)], tmp_path / name, settings or BuildSettings(make_rows=make_rows)
            )
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "own.tsv, line 2" in said[0]
