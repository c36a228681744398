"""An evaluation: the errors of what it calls."""

from __future__ import annotations

from mmdbench.cli.evaluate import evaluate
from optional_packages import needs
from verb_calls import call


@needs("openai")
def test_a_failure_is_described_by_its_own_cause(tmp_path, make_tsv):
    words = (
        "--bench",
        make_tsv(2),
        "--level",
        "clean",
        "-o",
        tmp_path / "run",
        "--set",
        "attempts=1",
        "--no-canary",
    )
    shown = call(evaluate, "--model", "openai:m@http://127.0.0.1:1/v1", *words, code=4)
    assert "Connect call failed" in shown
    assert "event loop" not in shown
