"""An evaluation: the errors of what it calls."""

from __future__ import annotations

from mmdbench.cli.evaluate import evaluate
from mmdbench.run.store import read_replies
from optional_packages import needs
from verb_calls import call


@needs("openai")
def test_a_failure_is_described_by_its_own_cause(tmp_path, make_tsv):
    words = ("--bench", make_tsv(2), "--level", "clean", "-o", tmp_path / "run", "--no-canary")
    call(evaluate, "--model", "openai:m@http://127.0.0.1:1/v1", *words, "--set", "attempts=1", code=4)
    reasons = [reply.reason for reply in read_replies(tmp_path / "run").values()]
    assert len(reasons) == 2
    assert all("Connect call failed" in reason for reason in reasons)
