"""The tokenizer is built from its own files alone."""

from __future__ import annotations

from clear_checkpoints import GOLDEN, SIZES  # isort: skip

import json
import shutil
from pathlib import Path

import pytest

from mmdbench.bagel.tokenizer import Tokenizer
from mmdbench.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "config", tmp_path / "base")
    return tmp_path / "base"


def test_a_large_vocabulary_beside_a_broken_config(folder: Path) -> None:
    """Building from the folder would open config.json and fail; building from the files does not."""
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    shift = 120_000
    vocabulary |= {f"filler{i}": i for i in range(len(vocabulary), shift)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    added = config["added_tokens_decoder"]
    config["added_tokens_decoder"] = {str(int(k) - 304 + shift): v for k, v in added.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "config.json").write_text('{"model_type": "bagel",}', "utf-8")
    tokenizer = Tokenizer(folder, SIZES, 130_000)
    assert (tokenizer.bos, tokenizer.eos) == (shift + 1, shift + 2)
    assert tokenizer.decode(tokenizer.encode("Is the bar red?")) == "Is the bar red?"


def test_markers_in_a_text_are_parsed(folder: Path) -> None:
    tokenizer = Tokenizer(folder, SIZES, 309)
    assert tokenizer.encode("<|vision_start|>")[0] == tokenizer.image_start
    assert tokenizer.encode("") == []


@pytest.mark.parametrize("marker", ["bos", "eos"])
def test_a_generated_marker_cuts_the_text(folder: Path, marker: str) -> None:
    tokenizer = Tokenizer(folder, SIZES, 309)
    ids = [*tokenizer.encode("yes"), getattr(tokenizer, marker), *tokenizer.encode("no")]
    assert tokenizer.decode(ids) == "yes"
    kept = [tokenizer.image_end, *tokenizer.encode("yes")]
    assert tokenizer.decode(kept) == "<|vision_end|>yes"


def test_a_missing_marker_is_added_but_never_beyond_the_embedding(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    del config["added_tokens_decoder"]["308"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    assert Tokenizer(folder, SIZES, 309).image_end == 308
    with pytest.raises(ModelError, match="id 308, but the embedding has 308 rows"):
        Tokenizer(folder, SIZES, 308)


def test_an_added_token_with_another_id_is_refused(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    config["added_tokens_decoder"]["400"] = config["added_tokens_decoder"].pop("306")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="the id 307"):
        Tokenizer(folder, SIZES, 500)


def test_unreadable_files_are_named(folder: Path) -> None:
    (folder / "vocab.json").write_text("{", "utf-8")
    with pytest.raises(ModelError, match=r"vocab\.json is not valid JSON"):
        Tokenizer(folder, SIZES, 309)
    (folder / "merges.txt").unlink()
    (folder / "vocab.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=r"merges\.txt"):
        Tokenizer(folder, SIZES, 309)
