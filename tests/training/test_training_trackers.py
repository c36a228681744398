"""The numbers and settings of a training in the trackers themselves, offline."""

from __future__ import annotations

import importlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("accelerate", reason="accelerate is not installed (extra: train)")

from mmdbench.library.training import train
from optional_packages import needs

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trackers
RATE = "training/optimiser.learning_rate"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains three steps with a tracker; the numbers of its log by step."""
    config = tmp_path / "train.yaml"
    config.write_text("preset: tiny\nsettings: {optimiser: {steps: 3}}\n")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")

    def run(tracker: str) -> dict[int, float]:
        train("clear-sft", config, tmp_path / "run", log_to=tracker, progress=False)
        lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
        return {line["step"]: line["total"] for line in lines}

    return run


def events_of(file: Path) -> list:
    """The events of a file of TensorBoard: each has its length, a checksum, itself and a checksum."""
    event = importlib.import_module("tensorboardX.proto.event_pb2").Event
    data, found = file.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        found.append(event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


@needs("tensorboardX")
def test_tensorboard(trained, tmp_path):
    totals = trained("tensorboard")
    (file,) = (tmp_path / "run/tensorboard").iterdir()
    values = [(event.step, value) for event in events_of(file) for value in event.summary.value]
    seen = {step: value.simple_value for step, value in values if value.tag == "training/total"}
    assert seen == pytest.approx(totals)
    texts = [value.tensor.string_val[0].decode() for _, value in values if value.tensor.string_val]
    assert [f"{RATE}: 0.01" in text for text in texts] == [True]


@needs("wandb")
def test_wandb(trained, tmp_path):
    wandb = importlib.import_module("wandb")
    active = wandb.init(project="training", dir=tmp_path, mode="offline")
    totals = trained("wandb")
    assert wandb.run is active
    assert active.summary["robustness/step"] == 3
    assert active.summary["training/total"] == pytest.approx(totals[3])
    assert active.config[RATE] == "0.01"
    assert "robustness/notes" not in active.config
    active.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    wandb.teardown()  # another test starts it with another folder


@needs("trackio")
def test_trackio(trained, tmp_path, monkeypatch):
    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(importlib.import_module(module), "TRACKIO_DIR", tmp_path / "trackio")
    totals = trained("trackio")
    (base,) = tmp_path.glob("trackio/*.db")
    with closing(sqlite3.connect(base)) as store:
        rows = store.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
        (settings,) = store.execute("SELECT config FROM configs").fetchall()
    seen = {step: json.loads(metrics) for step, metrics in rows}
    assert {step: numbers["training/total"] for step, numbers in seen.items()} == pytest.approx(totals)
    assert json.loads(settings[0])[RATE] == "0.01"


@needs("mlflow")
def test_mlflow(trained, tmp_path):
    mlflow = importlib.import_module("mlflow")
    mlflow.set_tracking_uri((tmp_path / "mlflow").as_uri())
    totals = trained("mlflow")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    seen = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "training/total")}
    assert seen == pytest.approx(totals)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "clear-sft tiny")
    assert run.data.params[RATE] == "0.01"
    assert "robustness/notes" not in run.data.tags
