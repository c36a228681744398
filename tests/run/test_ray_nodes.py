"""A Ray cluster of several nodes loses one of them in the midst of a run."""

from __future__ import annotations

import pytest

from engine_runs import QUIET, asked_once, go, seer_card, tables
from mmdbench.benches import open_bench
from mmdbench.records import RunPlan
from mmdbench.run.engines.settings import EngineSettings, open_pool
from mmdbench.run.inputs import RunInputs
from mmdbench.run.runner import run_plan

ray = pytest.importorskip("ray")


def test_a_cluster_loses_a_node_and_nothing_is_lost_or_doubled(make_tsv, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    path, lost = make_tsv(12), []
    plan = RunPlan(
        model="seer", benches=(str(path),), design="grid", corruptions=("graffiti", "dark_illumination")
    )
    benches = [open_bench(path)]
    go((plan, benches), seer_card(tmp_path), tmp_path / "whole")
    settings = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**settings, "include_dashboard": False})
    try:
        nodes = {cluster.head_node.node_id: None}
        nodes |= {node.node_id: node for node in (cluster.add_node(**settings), cluster.add_node(**settings))}
        ray.init(address=cluster.address, log_to_driver=False)
        card = seer_card(tmp_path, seconds=0.05)
        with open_pool(card, EngineSettings(engine="ray", processes=4), tmp_path / "run") as pool:

            def lose_one(progress):
                there = [h for h in pool.workers if h.assigned and nodes.get(h.node) is not None]
                if not lost and progress.done >= 10 and there:
                    lost.append(there[0].node)
                    cluster.remove_node(nodes[there[0].node], allow_graceful=False)

            summary = run_plan(RunInputs(plan, benches, pool, card, tmp_path / "run"), lose_one)
            assert {h.node for h in pool.workers if h.ready} <= set(nodes) - set(lost)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(lost) == 1
    assert (summary.asked, summary.failed) == (12 * 7, 0)
    assert summary.workers["restarts"] >= 1
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")
    asked_once(tmp_path / "run", 12 * 7)
