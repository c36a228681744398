"""The published files of a card: which of them a repository of the Hub must give, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from mmdbench.adapters._local.hub import HubFiles, HubSource, cached_files

from mmdbench.bagel.checkpoint import AUTOENCODER, BASE_FILES, VARIANTS
from mmdbench.errors import ModelError, UsageError

from .options import ClearOptions

__all__ = ["choose_base", "choose_weights", "hub_files", "located"]

_SHOWN = 20


def hub_files(options: ClearOptions) -> dict[str, HubFiles]:
    """The files on the Hub that the options `base_dir` and `weights` name, by option."""
    found = {}
    if isinstance(options.base_dir, HubSource):
        generation = options.dialogue.mode == "interleave"
        pick = partial(choose_base, options.base_dir, autoencoder=generation)
        found["base_dir"] = HubFiles(options.base_dir, pick)
    if isinstance(options.weights, HubSource):
        pick = partial(choose_weights, options.weights, options.variant)
        found["weights"] = HubFiles(options.weights, pick)
    return found


def located(options: ClearOptions) -> ClearOptions:
    """The options with folders and files of this machine in place of the Hub's.

    Raises ModelError if they are not in the Hub's cache: a model that is opened downloads no weights.
    """
    paths: dict[str, Path] = {}
    for name, files in hub_files(options).items():
        found = cached_files(files, guess=True)
        if found is None:
            why = " and nothing may be downloaded" if options.offline else ""
            raise ModelError(
                f"The files of {files.source} are not on this machine{why}.",
                hint="mmdbench eval downloads them before it starts, where it is not offline. "
                f"Or name a folder that holds them: --set {name}=PATH",
            )
        paths[name] = found[0].parent if name == "base_dir" else found[0]
    base_dir, weights = paths.get("base_dir", options.base_dir), paths.get("weights", options.weights)
    return replace(options, base_dir=base_dir, weights=weights)


def choose_base(source: HubSource, names: Sequence[str], *, autoencoder: bool) -> tuple[str, ...]:
    """The base files of a repository. Raises ModelError if it lacks one of them.

    Args:
        source: The repository.
        names: Its files.
        autoencoder: True if the model restores pictures.
    """
    folder = f"{source.path}/" if source.path else ""
    wanted = tuple(f"{folder}{name}" for name in (*BASE_FILES, *([AUTOENCODER] if autoencoder else [])))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ModelError(
            f"{source} lacks {', '.join(missing)}; it holds {_shown(names)}.",
            hint="Name another repository or folder: --set base_dir=hf:OWNER/NAME",
        )
    return wanted


def choose_weights(source: HubSource, variant: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The weights file of a repository, or an index and its shards, the index first.

    The variant decides (`ema` or `model`), or the path in the source. A path that names a folder with one
    checkpoint needs no variant. Raises UsageError, with a list of the repository, if that is none or several.
    """
    if source.path in names:
        return _with_shards(source.path, names)
    found = _checkpoints([n for n in names if not source.path or n.startswith(f"{source.path}/")])
    fitting = [name for name in found if variant in (None, _variant(name))]
    if source.path and len(found) == 1:
        fitting = found
    if len(fitting) == 1:
        return _with_shards(fitting[0], names)
    what = f"{variant} weights" if variant else "weights"
    count = f"several files with {what}: {', '.join(fitting)}" if fitting else f"no {what}"
    raise UsageError(
        f"{source} holds {count}. All its files: {_shown(names)}.",
        hint=f"Choose with --set weights=hf:{source.repo}:PATH, a file or a folder of it"
        f"{'' if fitting else ', or with --set variant=ema or model'}.",
    )


def _checkpoints(names: Sequence[str]) -> list[str]:
    """Weights files and indexes; of both in one folder, the file."""
    found: dict[tuple[str, str], str] = {}
    for name in sorted(names, key=len):
        if _variant(name):
            found.setdefault((str(PurePosixPath(name).parent), _variant(name)), name)
    return sorted(found.values())


def _variant(name: str) -> str:
    stem, _, suffix = PurePosixPath(name).name.partition(".")
    return stem if stem in VARIANTS and suffix in ("safetensors", "safetensors.index.json") else ""


def _with_shards(name: str, names: Sequence[str]) -> tuple[str, ...]:
    if not name.endswith(".index.json"):
        return (name,)
    stem = name.removesuffix(".safetensors.index.json")
    return name, *(n for n in names if n.startswith(f"{stem}-") and n.endswith(".safetensors"))


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(sorted(names)[:_SHOWN]) or 'nothing'}{more}"
