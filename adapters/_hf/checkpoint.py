"""A checkpoint before it is loaded: its family, files, number of weights and version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.errors import ModelError
from mmdbench.system.digest import value_digest
from mmdbench.system.inner_paths import plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape
from mmdbench.system.weights_header import FLOAT_DTYPES, read_header

from .families import FAMILIES, FOREIGN, ModelFamily, family_of
from .settings import HfSettings

__all__ = ["HfCheckpoint", "file_digest", "folder_version", "hub_commit", "open_checkpoint"]

_STORED = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.json",
    "chat_template.jinja",
)
_BLOCKS, _BLOCK = 64, 4096
_COMMIT = re.compile(r"snapshots[/\\]([0-9a-f]{40})[/\\]")


@dataclass(frozen=True, slots=True)
class HfCheckpoint:
    """A checkpoint whose files were found.

    `version` is the commit of a repository, or a digest of a folder's files; `parameters` the
    number of floating-point weights, 0 if it is unknown before they are downloaded.
    """

    repo: str
    revision: str
    model_type: str
    family: ModelFamily
    version: str
    parameters: int


def open_checkpoint(settings: HfSettings) -> HfCheckpoint:
    """Read a checkpoint's config and index; weights are neither read nor downloaded.

    Raises ModelError if there is no checkpoint, or one that is incomplete, of another kind of
    model, or in another format.
    """
    config, commit = _read_config(settings)
    model_type = str(config.get("model_type", ""))
    _check_kind(settings.repo, model_type)
    family = FAMILIES[settings.family] if settings.family else family_of(model_type)
    if family.model_types and model_type not in family.model_types:
        raise ModelError(
            f"The family {family.name!r} does not fit {settings.repo}, of the type {model_type!r}.",
            hint="Leave the option family to the checkpoint: --set family=generic, or hf:<checkpoint>.",
        )
    folder = settings.folder
    if folder is None:
        version = commit or settings.revision or "unknown"
        parameters = _parameters_on_hub(settings, config)
        return HfCheckpoint(settings.repo, settings.revision, model_type, family, version, parameters)
    files = _weight_files(folder)
    parameters = sum(_float_weights(file) for file in files if file.suffix == ".safetensors")
    version = folder_version(folder)
    return HfCheckpoint(str(folder), "", model_type, family, version, parameters)


def folder_version(folder: Path) -> str:
    """A digest of a checkpoint's files. Raises ModelError if its weights are missing or incomplete."""
    files = (*_small_files(folder), *_weight_files(folder))
    return value_digest({f.name: file_digest(f) for f in files})


def hub_commit(repo: str, revision: str) -> str:
    """The commit of a repository's revision on the Hub. Raises ModelError if it is not there."""
    settings = HfSettings(repo, revision=revision)
    _, commit = _read_config(settings)
    if not commit:
        raise ModelError(f"The commit of {repo} is unknown.", hint=_where_hint(settings))
    return commit


def _read_config(settings: HfSettings) -> tuple[dict[str, Any], str]:
    """The checkpoint's config, and its commit if it comes from the Hub."""
    from transformers.utils.hub import cached_file

    if settings.folder is None and not settings.on_hub:
        raise ModelError(
            f"There is no folder {settings.repo}.",
            hint="Name a checkpoint's folder, or owner/name on the Hugging Face Hub.",
        )
    try:
        if settings.folder is None:
            path = str(cached_file(settings.repo, "config.json", revision=settings.revision or None))
        else:
            path = str(settings.folder / "config.json")
        config = parse_json(Path(path).read_bytes(), lenient=True)
        check_shape(config, dict, "the file")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"Cannot read the config.json of {settings.repo}: {_first(error)}", hint=_where_hint(settings)
        ) from error
    commit = _COMMIT.search(path)
    return dict(config), commit[1] if commit else ""


def _where_hint(settings: HfSettings) -> str:
    if settings.folder is not None:
        return "The folder must be a transformers checkpoint: config.json, tokenizer, processor, safetensors."
    return (
        "Check the name and the revision. A gated repository needs its licence accepted and HF_TOKEN set; "
        "HF_ENDPOINT names a mirror; with HF_HUB_OFFLINE=1 it must be in the cache."
    )


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check_kind(repo: str, model_type: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return
    known = ", ".join(t for f in FAMILIES.values() for t in f.model_types)
    raise ModelError(
        f"The installed transformers has no model for images and text of the type {model_type!r} ({repo}).",
        hint=FOREIGN.get(
            model_type,
            "If it is newer: pip install --upgrade transformers. Model types that are known to work: "
            f"{known}, and most others of its image-text-to-text models.",
        ),
    )


def _weight_files(folder: Path) -> list[Path]:
    index = folder / _INDEX
    if index.is_file():
        try:
            names = sorted(set(_read_index(index)["weight_map"].values()))
        except ValueError as error:
            raise ModelError(
                f"{index} is not an index of weights: {error}.", hint="Download it again."
            ) from error
        missing = [n for n in names if not (folder / plain_name(folder, n, index, ModelError)).is_file()]
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of the {len(names)} weights files in its index, the first "
                f"of them {missing[0]}.",
                hint="Download the rest of it.",
            )
        return [folder / name for name in names]
    for pattern in (_SINGLE, "pytorch_model*.bin"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    raise ModelError(
        f"There are no weights in {folder}.",
        hint=f"It must hold {_SINGLE}, or {_INDEX} and the files that it names.",
    )


def _small_files(folder: Path) -> Iterator[Path]:
    return (folder / name for name in _SMALL_FILES if (folder / name).is_file())


def file_digest(path: Path) -> str:
    """A digest of a file's size and of blocks spread over it; a small file is read whole.

    Reading a sample is enough: training changes nearly every weight.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _BLOCKS * _BLOCK:
            digest.update(file.read())
            return digest.hexdigest()
        for number in range(_BLOCKS):
            file.seek(number * (size - _BLOCK) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _float_weights(path: Path) -> int:
    return sum(entry.count for entry in read_header(path).values() if entry.dtype in FLOAT_DTYPES)


def _parameters_on_hub(settings: HfSettings, config: Mapping[str, Any]) -> int:
    from transformers.utils.hub import cached_file

    index = cached_file(
        settings.repo,
        _INDEX,
        revision=settings.revision or None,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if index is None:
        return _parameters_of_single_file(settings)
    stated = config.get("dtype") or config.get("torch_dtype") or "float32"
    try:
        total = _read_index(Path(index)).get("metadata", {}).get("total_size", 0)
    except ValueError as error:
        raise ModelError(
            f"{index} is not an index of weights: {error}.", hint="Download it again."
        ) from error
    return int(total) // _STORED.get(str(stated), 4)


class _Sizes(TypedDict, total=False):
    total_size: float


class _Weights(TypedDict):
    weight_map: dict[str, str]


class _Index(_Weights, total=False):
    metadata: _Sizes


def _read_index(path: Path) -> dict[str, Any]:
    """The index of a checkpoint's files of weights. Raises ValueError for anything else."""
    index = parse_json(path.read_bytes())
    check_shape(index, _Index, "index")
    return dict(index)


def _parameters_of_single_file(settings: HfSettings) -> int:
    from huggingface_hub import get_safetensors_metadata

    try:
        counts = get_safetensors_metadata(settings.repo, revision=settings.revision or None).parameter_count
    except Exception:  # noqa: BLE001 - offline, or a mirror without ranges: the size stays unknown
        return 0
    return sum(counts.values())
