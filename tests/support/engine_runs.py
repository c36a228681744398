"""Runs for tests of engines: a model that answers by the pixels, and the tables and keys of a run."""

from __future__ import annotations

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.report.render.report_files import write_report
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.run.engines.settings import open_pool
from mmdbench.run.inputs import PictureSources, RunInputs, RunSettings
from mmdbench.run.json_lines import read_records
from mmdbench.run.runner import run_plan
from mmdbench.variants.restoration import open_restorer

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "120",
}
"""Environment of Ray in tests: no usage report, no token, no warning, and a long time to start.

All of Ray's tests use it: within one process, a later cluster whose nodes expect no token rejects a driver
that was started with one.
"""

MODEL = """
import os, signal, time
from pathlib import Path
from mmdbench.system.digest import bytes_digest
from mmdbench.records import Outcome

class Seer:
    def __init__(self, batch_size=1, seconds=0.0, deadly="", once="", own_prompt=False):
        self.batch_size, self.seconds, self.deadly, self.once = batch_size, seconds, deadly, once
        if own_prompt:
            self.prompt = lambda question, default: "In my words: " + question.text
    def fingerprint(self):
        return {"adapter": "seer"}
    def generate(self, requests):
        print("asked", len(requests), flush=True)
        return [self._one(request) for request in requests]
    def _one(self, request):
        if self.deadly and request.question == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.once and Path(self.once).exists():
            Path(self.once).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        labels = list(request.options) or ["none"]
        return Outcome(labels[int(bytes_digest(request.images[0].data)[:8], 16) % len(labels)])

def load(card):
    return Seer(**card.options)
"""


def seer_card(folder, **options):
    """A card of the model, written into a folder; its options cause its failures."""
    (folder / "seer.py").write_text(MODEL)
    return ModelCard("seer", str(folder / "seer.py"), options=options)


def go(planned, card, folder, engine=None, see=lambda _: None, **settings):
    """Run (plan, benches) in this process, or in an engine's pool."""
    plan, benches = planned
    pictures = PictureSources(open_restorer(plan.restore)) if plan.restore else PictureSources()

    def carry_out(model):
        return run_plan(RunInputs(plan, benches, model, card, folder, RunSettings(**settings), pictures), see)

    if engine is None:
        return carry_out(open_model(card))
    with open_pool(card, engine, folder) as pool:
        return carry_out(pool)


def tables(folder):
    """The bytes of a run's tables and grades."""
    results = load_results(folder)
    write_report(folder, results, make_tables([results], load_spec()))
    return [(folder / name).read_bytes() for name in ("tables.json", "report.md", "grades.jsonl")]


def asked_once(folder, count):
    """Assert that a run holds that many replies, each key once."""
    keys = [r["key"] for path in folder.glob("replies-*.jsonl") for r in read_records(path)]
    assert len(keys) == len(set(keys)) == count
