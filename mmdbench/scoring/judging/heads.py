"""Judge heads of VLMEvalKit, read from an installed copy, a checkout, a wheel or plain text files.

Source files are parsed, never run, and a text is only taken when length and SHA-256 are right.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from mmdbench.errors import DataError, StoreError
from mmdbench.scoring.judging.prompts import OWN_HEADS, Head, JudgeHeads
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = ["has_words", "keep_heads", "kept_heads", "load_heads"]


@dataclass(frozen=True, slots=True)
class _Known:
    """The place of a head in VLMEvalKit, and its length and digest."""

    module: str
    function: str
    text_file: str
    characters: int
    sha256: str


_KNOWN = {
    "mcq_en": _Known(
        "multiple_choice.py",
        "build_prompt",
        "mcq_en.txt",
        724,
        "135830d14fa5cf533c3e6d1fa920e9317020975d90e6c1b0acfa57df14b82875",
    ),
    "mcq_cn": _Known(
        "multiple_choice.py",
        "build_prompt_cn",
        "mcq_cn.txt",
        276,
        "94d2e7bc02094f59f71af38a90c1238493ba926eb5eeb20be884b205ef8f072a",
    ),
    "mmvet": _Known(
        "mmvet.py",
        "build_mmvet_gpt4_prompt",
        "mmvet.txt",
        2292,
        "3fc869bc48066b81267edb8aabcc8e2697f166393312a5202cbc6483e052f5d4",
    ),
}
_FOLDER = "vlmeval/dataset/utils"
_UNREADABLE = (
    EOFError,
    OSError,
    RuntimeError,  # a wheel with a password
    SyntaxError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions of reading a damaged wheel or source file."""


def load_heads(source: str | Path | None = None) -> JudgeHeads:
    """The judge heads that published numbers were made with, or our own.

    `source` is an `ms-vlmeval` wheel, a folder that holds `vlmeval/` (a checkout or an unpacked
    wheel), or a folder with `mcq_en.txt`, `mcq_cn.txt` and `mmvet.txt`; a head that is not there is
    replaced by our own. Without `source` the heads of an installed `vlmeval` are taken, or else our
    own. Raises DataError if `source` holds none of them, or another text under their name.
    """
    if source is None:
        folder = _installed()
        texts = _find(folder, strict=False) if folder else {}
    else:
        texts = _find(Path(source), strict=True)
        if not texts:
            raise DataError(
                f"No judge prompt of VLMEvalKit in {source}.",
                hint="Give an ms-vlmeval wheel, a folder that holds vlmeval/, or one with mcq_en.txt, "
                "mcq_cn.txt and mmvet.txt.",
            )
    found = {name: Head(_id_of(name), text, comparable=True) for name, text in texts.items()}
    return JudgeHeads(**{name: found.get(name, getattr(OWN_HEADS, name)) for name in _KNOWN})


def _id_of(name: str) -> str:
    return f"vlmevalkit-{name}"


def has_words(heads: JudgeHeads, prompt_id: str, sha256: str) -> bool:
    """False if a judge was asked with other words than those of the heads.

    Args:
        heads: The heads.
        prompt_id: The id of the head that the judge was asked with.
        sha256: The digest of its text.

    Returns:
        True for the same words, and for a head of another kind, as some families have.
    """
    digests = {head.id: head.sha256 for head in (heads.mcq_en, heads.mcq_cn, heads.mmvet)}
    if prompt_id in digests:
        return digests[prompt_id] == sha256
    return prompt_id not in {*map(_id_of, _KNOWN), *(getattr(OWN_HEADS, name).id for name in _KNOWN)}


def keep_heads(heads: JudgeHeads, path: Path) -> None:
    """Store the heads of a judge's prompts, so that its rulings are found again without their source."""
    table = {name: {"id": head["id"], "text": head["text"]} for name, head in asdict(heads).items()}
    write_atomic(path, json.dumps(table, indent=1, ensure_ascii=True) + "\n")


def kept_heads(path: Path) -> JudgeHeads | None:
    """The heads that `keep_heads` wrote, None if it wrote none; their texts say whether they are comparable.

    Raises StoreError for a file that holds something else.
    """
    try:
        table = parse_json(path.read_bytes())
        check_shape(table, _HeadsRecord, "file")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The judge's prompts in {path} cannot be read: {error}.",
            hint="Move the file away and score with the judge again; its calls are in the journal.",
        ) from error
    heads = {
        name: Head(table[name]["id"], text := table[name]["text"], _is_right(text, known))
        for name, known in _KNOWN.items()
    }
    return JudgeHeads(**heads)


class _HeadRecord(TypedDict):
    id: str
    text: str


class _HeadsRecord(TypedDict):
    mcq_en: _HeadRecord
    mcq_cn: _HeadRecord
    mmvet: _HeadRecord


def _installed() -> Path | None:
    # Looks the package up without importing it: it would pull in torch.
    spec = importlib.util.find_spec("vlmeval")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent


def _find(source: Path, *, strict: bool) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, known in _KNOWN.items():
        try:
            candidates = list(_candidates(source, known))
        except _UNREADABLE as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"The judge prompts in {source} cannot be read: {what}.", hint="Get another copy of it."
            ) from error
        right = [text for text in candidates if _is_right(text, known)]
        if right:
            texts[name] = right[0]
        elif candidates and strict:
            raise DataError(
                f"The judge prompt {name} in {source} is not the one that published numbers were made with "
                f"(expected {known.characters} characters, SHA-256 {known.sha256[:12]}…).",
                hint="Use ms-vlmeval 0.0.17 to 0.0.20, or score without it.",
            )
    return texts


def _is_right(text: str, known: _Known) -> bool:
    return len(text) == known.characters and bytes_digest(text.encode()) == known.sha256


def _candidates(source: Path, known: _Known) -> Iterator[str]:
    inner = f"{_FOLDER}/{known.module}"
    if source.suffix == ".whl" and source.is_file():
        with zipfile.ZipFile(source) as wheel:
            if inner in wheel.namelist():
                yield from _literals(wheel.read(inner).decode(), known)
        return
    if (source / inner).is_file():
        yield from _literals((source / inner).read_text("utf-8"), known)
    if (source / known.text_file).is_file():
        yield (source / known.text_file).read_bytes().decode()


def _literals(code: str, known: _Known) -> Iterator[str]:
    """Every text that the function could begin its prompt with: up to a field, or with a final newline."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef) and node.name == known.function:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value.partition("{")[0]
                    yield part.value + "\n"
