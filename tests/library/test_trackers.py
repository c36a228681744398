"""Runs and measurements in the trackers themselves, offline."""

from __future__ import annotations

import importlib
import json
import sqlite3
from contextlib import closing

import pytest

import mmdbench
from mmdbench.cli.export import export
from mmdbench.errors import MmdbenchError
from optional_packages import needs
from verb_calls import call

SECRET = "s3cret-key-of-mine"

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trackers


def answer(images, prompt):
    return "A"


@pytest.fixture
def bench(make_tsv):
    return make_tsv(12, f"toy{SECRET}.tsv")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("TRACKER_API_KEY", SECRET)


@pytest.fixture
def mlflow(tmp_path):
    package = importlib.import_module("mlflow")
    package.set_tracking_uri((tmp_path / "mlflow").as_uri())
    yield package
    while package.active_run():
        package.end_run()


@pytest.fixture
def trackio(tmp_path, monkeypatch):
    package = importlib.import_module("trackio")
    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(importlib.import_module(module), "TRACKIO_DIR", tmp_path / "trackio")
    return package


@pytest.fixture
def run(bench, tmp_path):
    options = {"out": tmp_path / "run", "sample": 4, "codec": "png", "levels": ["clean", "mid", "hard"]}
    return mmdbench.evaluate(answer, bench, progress=False, **options)


def monitor_of(bench, folder, **options):
    return mmdbench.DropMonitor(answer, bench, out=folder, sample=4, codec="png", **options)


def mlflow_runs(mlflow):
    client = mlflow.MlflowClient()
    return client.search_runs([one.experiment_id for one in client.search_experiments()])


@needs("mlflow")
def test_a_run_in_mlflow(run, mlflow):
    said = call(export, run.folder, "--to", "mlflow")
    (found,) = mlflow_runs(mlflow)
    numbers = run.log_to(lambda numbers, step: None)
    assert found.data.metrics == pytest.approx(numbers)
    assert f"{len(numbers)} numbers of answer were sent to mlflow." in said
    drop = run.tables["levels"][run.results.title(run.results.benches[0]), "drop clean → hard"]
    place = next(name for name in numbers if name.endswith("drop_hard"))
    assert [found.data.metrics[place + end] for end in ("", "_low", "_high")] == [
        drop.value,
        drop.low,
        drop.high,
    ]
    assert found.data.params["robustness/levels"] == "clean, mid, hard"
    assert (found.data.params["robustness/sample"], found.data.params["robustness/seed"]) == ("4", "0")
    assert "SAMPLE 4: 4 of 12 rows" in found.data.tags["mlflow.note.content"]
    assert (found.info.status, found.info.run_name) == ("FINISHED", "answer")
    assert mlflow.active_run() is None
    assert SECRET not in str(found.data)


@needs("mlflow")
def test_measurements_in_mlflow_with_their_steps(bench, tmp_path, mlflow):
    monitor = monitor_of(bench, tmp_path / "training", log_to="mlflow")
    monitor(0)
    monitor(500)
    monitor.close()
    (found,) = mlflow_runs(mlflow)
    (name,) = (name for name in found.data.metrics if name.endswith("drop_hard"))
    assert [one.step for one in mlflow.MlflowClient().get_metric_history(found.info.run_id, name)] == [0, 500]
    assert (found.info.run_name, found.info.status) == ("training", "FINISHED")


@needs("mlflow")
def test_the_active_run_of_a_training_is_used_and_left_open(bench, tmp_path, mlflow):
    active = mlflow.start_run(run_name="the training's")
    monitor = monitor_of(bench, tmp_path / "training", log_to="mlflow")
    monitor(7)
    monitor.close()
    assert mlflow.active_run().info.run_id == active.info.run_id
    (found,) = mlflow_runs(mlflow)
    assert any(name.endswith("drop_hard") for name in found.data.metrics)
    assert "mlflow.note.content" not in found.data.tags


@needs("mlflow")
def test_a_tracker_that_cannot_be_reached_is_an_error_without_keys(run, mlflow, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    mlflow.set_tracking_uri(f"file://{tmp_path}/file/{SECRET}")
    with pytest.raises(MmdbenchError, match="mlflow did not take the numbers") as error:
        run.log_to("mlflow")
    assert SECRET not in str(error.value)


@needs("tensorboardX", "tensorboard")
def test_a_run_and_measurements_in_tensorboards_files(run, bench, tmp_path):
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    call(export, run.folder, "--to", "tensorboard", "-o", tmp_path / "events")
    monitor = monitor_of(bench, tmp_path / "training", log_to="tensorboard")
    monitor(0)
    monitor(500)
    monitor.close()
    steps = {"events": [0], "training/tensorboard": [0, 500]}
    for folder, wanted in steps.items():
        found = events.EventAccumulator(str(tmp_path / folder)).Reload()
        (name,) = (name for name in found.Tags()["scalars"] if name.endswith("drop_hard"))
        assert [one.step for one in found.Scalars(name)] == wanted
        texts = [
            bytes(found.Tensors(tag)[0].tensor_proto.string_val[0]).decode()
            for tag in found.Tags()["tensors"]
        ]
        assert any("SAMPLE 4: 4 of 12 rows" in text for text in texts)
        assert any("- robustness/sample: 4" in text for text in texts)
        assert not any(SECRET in text for text in texts)
    assert "-o FOLDER" in call(export, run.folder, "--to", "tensorboard", code=2)


@needs("trackio")
def test_a_run_and_measurements_in_trackio(run, bench, tmp_path, trackio):
    call(export, run.folder, "--to", "trackio")
    monitor = monitor_of(bench, tmp_path / "training", log_to="trackio")
    monitor(0)
    monitor(500)
    monitor.close()
    assert trackio.context_vars.current_run.get() is None
    (base,) = tmp_path.glob("trackio/*.db")
    with closing(sqlite3.connect(base)) as store:
        kept = store.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        rows = store.execute("SELECT run_name, config FROM configs").fetchall()
    configs = {name: bytes(config).decode() for name, config in rows}
    assert [(name, step) for name, step, _ in kept] == [("answer", 0), ("training", 0), ("training", 500)]
    assert all(any(name.endswith("drop_hard") for name in json.loads(metrics)) for *_, metrics in kept)
    assert set(configs) == {"answer", "training"}
    assert all("SAMPLE 4: 4 of 12 rows" in text and SECRET not in text for text in configs.values())


@needs("trackio")
def test_the_steps_of_an_active_run_in_trackio_are_not_moved(bench, tmp_path, trackio):
    trackio.init(project="training", name="the training's")
    monitor = monitor_of(bench, tmp_path / "training", log_to="trackio")
    trackio.log({"loss": 1.0})
    monitor(500)
    trackio.log({"loss": 1.0})
    monitor.close()
    trackio.finish()
    (base,) = tmp_path.glob("trackio/*.db")
    with closing(sqlite3.connect(base)) as store:
        kept = store.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
    assert [step for step, metrics in kept if "loss" in json.loads(metrics)] == [0, 2]
    assert [json.loads(metrics)["robustness/step"] for step, metrics in kept if step == 1] == [500]


@needs("wandb")
def test_a_run_and_measurements_in_wandb(run, bench, tmp_path):
    wandb = importlib.import_module("wandb")
    call(export, run.folder, "--to", "wandb")
    active = wandb.init(project="training", name="the training's")
    monitor = monitor_of(bench, tmp_path / "training", log_to="wandb")
    for step in (0, 500):
        active.log({"loss": 1.0})
        monitor(step)
    monitor.close()
    assert wandb.run is active
    assert active.summary["robustness/step"] == 500
    assert active.config["robustness/sample"] == "4"
    assert "SAMPLE 4: 4 of 12 rows" in active.config["robustness/notes"]
    assert not [key for key, value in active.config.items() if SECRET in str(value)]
    active.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 2
