"""Instructions that follow every question: the authors' text, a file of the user's, or our own wording."""

from __future__ import annotations

import hashlib
import logging

import pytest

from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.models import instructions
from mmdbench.models.instructions import (
    INSTRUCTIONS,
    OWN_ROBUST_R1,
    ROBUST_R1,
    Instruction,
    find_instruction,
)
from mmdbench.models.published_text import PublishedText

TEXT = "Say what is wrong,\nthen answer."
NAMED = {"instruction": "robust-r1"}


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMDBENCH_OFFLINE", "1")
    monkeypatch.delenv("MMDBENCH_ROBUST_R1_PROMPT", raising=False)


@pytest.fixture
def _published(monkeypatch):
    """TEXT takes the place of the authors' instruction, whose words no test may hold."""
    known = PublishedText(
        "robust-r1",
        len(TEXT),
        hashlib.sha256(TEXT.encode()).hexdigest(),
        "abc",
        option="instruction_file",
        variable="MMDBENCH_ROBUST_R1_PROMPT",
    )
    monkeypatch.setattr(instructions, "INSTRUCTIONS", {"robust-r1": (known, OWN_ROBUST_R1)})


def test_the_place_of_robust_r1s_instruction():
    assert (ROBUST_R1.repository, ROBUST_R1.file) == ("https://github.com/jqtangust/Robust-R1", "demo.py")
    assert ROBUST_R1.commit == "02f2c9d3e785884073afb366feacf72a7912b1f2"
    assert (ROBUST_R1.characters, ROBUST_R1.sha256[:12]) == (501, "e20c9ef009f6")
    assert ROBUST_R1.collapsed, "its checksum is that of the text with its white space collapsed"
    assert INSTRUCTIONS["robust-r1"][0] is ROBUST_R1


def test_our_own_wording_asks_for_the_five_blocks_in_their_order():
    text = OWN_ROBUST_R1.text
    places = [text.index(f"<{name}>") for name in ("TYPE", "INFLUENCE", "REASONING", "CONCLUSION", "ANSWER")]
    assert places == sorted(places)
    assert all(f"<{name}_END>" in text for name in ("TYPE", "INFLUENCE", "REASONING", "CONCLUSION", "ANSWER"))
    assert not ROBUST_R1.is_text(text)


def test_without_a_network_our_own_wording_is_sent_and_said(caplog):
    with caplog.at_level(logging.WARNING, logger="mmdbench"):
        found = find_instruction({}, "robust-r1")
    assert found is OWN_ROBUST_R1
    assert found.record() == {
        "id": "mmdbench-robust-r1/1",
        "sha256": hashlib.sha256(found.text.encode()).hexdigest(),
        "exact": False,
    }
    assert "mmdbench-robust-r1/1, is sent instead of the authors' instruction" in caplog.text
    assert "MMDBENCH_ROBUST_R1_PROMPT may hold either" in caplog.text


def test_what_the_user_names_is_never_replaced(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="Cannot read"):
        find_instruction({**NAMED, "instruction_file": str(tmp_path / "none.txt")})
    program = tmp_path / "demo.py"
    program.write_text("SYS_PROMPT = 'another text'\n", "utf-8")
    with pytest.raises(ModelError, match=r"was not found in .*demo\.py"):
        find_instruction({**NAMED, "instruction_file": str(program)})
    with pytest.raises(ModelError, match="nothing may be downloaded"):
        find_instruction({**NAMED, "prompt_repository": "https://example.org/owner/name"})
    monkeypatch.setenv("MMDBENCH_ROBUST_R1_PROMPT", "https://example.org/owner/name")
    with pytest.raises(ModelError, match="nothing may be downloaded"):
        find_instruction(NAMED)


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_file_of_the_users_holds_the_authors_text_or_another(tmp_path, monkeypatch, by):
    file = tmp_path / "said.txt"
    options = dict(NAMED)
    if by == "option":
        options["instruction_file"] = str(file)
    else:
        monkeypatch.setenv("MMDBENCH_ROBUST_R1_PROMPT", str(file))
    file.write_text(TEXT, "utf-8")
    assert find_instruction(options) == Instruction("robust-r1", TEXT, exact=True)
    file.write_text("Be brief.", "utf-8")
    assert find_instruction(options) == Instruction("robust-r1-file", "Be brief.", exact=False)


def test_by_name_or_none():
    assert find_instruction({}) is None
    assert find_instruction({"instruction": ""}, "robust-r1") is None
    assert find_instruction({"instruction": OWN_ROBUST_R1.id}) is OWN_ROBUST_R1
    with pytest.raises(UnknownNameError, match="Did you mean 'robust-r1'"):
        find_instruction({"instruction": "robust-r2"})
    with pytest.raises(UsageError, match="instruction_file must be a text"):
        find_instruction({**NAMED, "instruction_file": 3})
