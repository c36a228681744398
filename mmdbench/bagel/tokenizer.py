"""The Qwen2 tokenizer of a checkpoint, built from its own files alone.

`from_pretrained` on the folder is not used: it fails where the published config.json is not valid
JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdbench.errors import ModelError
from mmdbench.system.json_text import parse_json

from .settings import Sizes

__all__ = ["Tokenizer"]


class Tokenizer:
    """Text to ids and back; `bos`, `eos`, `image_start` and `image_end` are the ids of the markers."""

    def __init__(self, folder: Path, sizes: Sizes, vocabulary: int) -> None:
        """Read the tokenizer of a base model.

        Args:
            folder: The folder of the base model.
            sizes: The names of the markers.
            vocabulary: The number of embeddings of the model.

        Raises:
            ModelError: A file cannot be read, or a marker has no embedding.
        """
        self._qwen = _build(folder)
        self.bos, self.eos, self.image_start, self.image_end = (
            self._marker(name, vocabulary)
            for name in (sizes.bos, sizes.eos, sizes.image_start, sizes.image_end)
        )
        self._cuts = (sizes.eos, sizes.bos)

    def __len__(self) -> int:
        return len(self._qwen)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without markers around it; marker names inside it become markers."""
        return [int(i) for i in self._qwen.encode(text, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, up to a begin or end marker."""
        text = str(
            self._qwen.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )
        for marker in self._cuts:
            text = text.split(marker, 1)[0]
        return text

    def _marker(self, name: str, vocabulary: int) -> int:
        from tokenizers import AddedToken

        known = self._qwen.get_vocab()
        if name not in known:
            self._qwen.add_tokens([AddedToken(name, normalized=False, special=True)])
        number = int(self._qwen.convert_tokens_to_ids(name))
        if number >= vocabulary:
            raise ModelError(
                f"The marker {name} has id {number}, but the embedding has {vocabulary} rows.",
                hint="The tokenizer files and llm_config.json do not belong together.",
            )
        return number


def _build(folder: Path) -> Any:
    from transformers import Qwen2Tokenizer

    vocabulary = _json(folder / "vocab.json")
    lines = _text(folder / "merges.txt").splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    # The library's annotation says strings, but it needs pairs.
    qwen: Any = Qwen2Tokenizer(vocab=vocabulary, merges=merges)  # type: ignore[arg-type]
    added = _json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    for number, token in sorted((int(n), t) for n, t in added.items()):
        _add(qwen, number, token, folder)
    return qwen


def _add(qwen: Any, number: int, token: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken

    flags = {name: bool(token.get(name, False)) for name in ("lstrip", "rstrip", "single_word", "special")}
    qwen.add_tokens([AddedToken(token["content"], normalized=False, **flags)])
    got = qwen.convert_tokens_to_ids(token["content"])
    if got != number:
        raise ModelError(
            f"{folder / 'tokenizer_config.json'} gives {token['content']} the id {number}, but it got {got}.",
            hint="vocab.json and tokenizer_config.json do not belong together.",
        )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"Cannot read the tokenizer file {path}: {error}.",
            hint="The base folder must hold vocab.json, merges.txt and tokenizer_config.json.",
        ) from error


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        value = parse_json(text, lenient=True)
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object.")
    return value
