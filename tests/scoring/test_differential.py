"""A bounded share of `benchmarks/scoring_fuzz.py`: our rules against VLMEvalKit's own code."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmdbench.scoring import get_protocol, infer_option
from vlmevalkit_upstream import load_fuzz

VERSIONS = ("0.0.17", "0.0.20")


@pytest.fixture(scope="module")
def fuzz():
    module = load_fuzz()
    assert sorted(module.VERSIONS) == sorted(VERSIONS)
    return module


@pytest.fixture(scope="module", params=VERSIONS)
def upstream(request, fuzz):
    folder = os.environ.get("MMDBENCH_VLMEVAL_WHEELS")
    if not folder:
        pytest.skip("set MMDBENCH_VLMEVAL_WHEELS to a folder with the ms-vlmeval wheels 0.0.17 and 0.0.20")
    found = fuzz.load_upstream(Path(folder), request.param)
    if found is None:
        pytest.skip(f"ms-vlmeval {request.param} is not in {folder}")
    return found


@pytest.mark.parametrize(
    ("check", "cases"),
    [("check_inference", 20_000), ("check_prompts", 1_000), ("check_circular", 200), ("check_tables", 100)],
)
def test_no_mismatch_with_vlmevalkit(upstream, fuzz, check, cases):
    assert list(getattr(fuzz, check)(upstream, cases, seed=20)) == []


def test_the_wheel_is_loaded_without_torch(upstream):
    assert upstream.heads.mcq_en.comparable
    assert "torch" not in sys.modules


def test_random_cases_reach_every_stage(fuzz):
    """A fuzz that never reaches a rule compares nothing: each stage decides at least 1 % of the cases."""
    from collections import Counter

    from mmdbench.scoring import infer_option_staged

    rng = fuzz.random.Random(1)
    cases = [fuzz.random_case(rng) for _ in range(4_000)]
    for protocol, absent in (("clear/1", {"answer_is", "too_long"}), ("vlmevalkit/1", set())):
        stages = Counter(infer_option_staged(text, options, protocol=protocol)[1] for text, options in cases)
        named = {
            "refusal",
            "letter",
            "letter_z",
            "answer_is",
            "option_text",
            "too_long",
            "no_option",
            "several_options",
        }
        assert {stage for stage in named if stages[stage] >= 40} == named - absent


def test_random_cases_tell_the_protocols_apart(fuzz):
    rng = fuzz.random.Random(2)
    cases = [fuzz.random_case(rng) for _ in range(2_000)]
    clear, other = get_protocol("clear/1"), get_protocol("vlmevalkit/1")
    for field in ("letter_window", "answer_is", "length_factor"):
        mixed = replace(other, **{field: getattr(clear, field)})
        differ = [c for c in cases if infer_option(*c, protocol=mixed) != infer_option(*c, protocol=other)]
        assert len(differ) >= 20
