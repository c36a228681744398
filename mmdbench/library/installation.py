"""The installation: versions, extras, data, GPUs, keys and caches, as `mmdbench doctor` shows them.

Of keys, the names of their variables are known here and whether they are set; no value is read further.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from mmdbench.benches.catalog import find_bench, get_bench_names
from mmdbench.benches.fetch import data_folders, find_bench_file
from mmdbench.errors import MmdbenchError
from mmdbench.models.cards import known_cards
from mmdbench.models.folder_cards import variables_of
from mmdbench.system.caches import Cache, list_caches
from mmdbench.system.environment import cache_folder, versions
from mmdbench.system.files import require_writable

__all__ = ["Installation", "inspect_installation"]

_NOT_FOR_USE = re.compile(r"test|docs$")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(\[[^]]*\])?([^;]*)")
_EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")
_HUB_KEYS = ("HF_TOKEN",)
_TORCH = (
    "import json, torch\n"
    "n = torch.cuda.device_count() if torch.cuda.is_available() else 0\n"
    "print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda,"
    " 'devices': [torch.cuda.get_device_name(i) for i in range(n)]}))"
)
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Installation:
    """The state of the installation.

    `extras` holds the packages that each extra lacks; `data` the path of each benchmark's file that is here,
    and `data_folders` are searched for them. `gpus` are lines of the driver, `torch` holds its version, CUDA
    and devices (empty if it is not installed). `keys` tells which variables of model cards are set.
    `problems` are sentences on what is broken.
    """

    versions: dict[str, str]
    extras: dict[str, tuple[str, ...]]
    data: dict[str, str]
    data_folders: tuple[str, ...]
    gpus: tuple[str, ...]
    torch: dict[str, Any]
    keys: dict[str, bool]
    caches: tuple[Cache, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The installation as a JSON-able dict."""
        caches = [{**asdict(cache), "path": str(cache.path)} for cache in self.caches]
        return {**asdict(self), "caches": caches}


def inspect_installation() -> Installation:
    """Look at everything that mmdbench works with; no model is asked and nothing is downloaded."""
    problems: list[str] = []
    return Installation(
        versions=versions(),
        extras=_extras(),
        data=_data(),
        data_folders=tuple(map(str, data_folders())),
        gpus=_gpus(),
        torch=_torch(problems),
        keys=_keys(problems),
        caches=_caches(problems),
        problems=tuple(problems),
    )


def _extras() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for text in metadata.requires("mmdbench") or ():
        extra, parts = _EXTRA.search(text), _REQUIREMENT.match(text)
        if extra and parts and not _NOT_FOR_USE.match(extra[1]) and parts[1] != "mmdbench":
            lacking = found.setdefault(extra[1], [])
            if not _is_installed(parts[1]):
                lacking.append(f"{parts[1]}{parts[3]}".strip())
    return {name: tuple(lacking) for name, lacking in sorted(found.items())}


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _data() -> dict[str, str]:
    paths = ((name, find_bench_file(find_bench(name))) for name in get_bench_names())
    return {name: str(path) for name, path in paths if path}


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    done = _output([program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    return (
        tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
        if not done.returncode
        else ()
    )


def _torch(problems: list[str]) -> dict[str, Any]:
    if find_spec("torch") is None:
        return {}
    # In a process of its own: an installation that is broken may end it.
    done = _output([sys.executable, "-c", _TORCH])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        problems.append(f"torch is installed and cannot be imported: {last}")
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _output(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{type(error).__name__}: {command[0]}")


def _keys(problems: list[str]) -> dict[str, bool]:
    try:
        cards = known_cards()
    except MmdbenchError as error:
        problems.append(f"The model cards cannot be read: {error}")
        return {name: bool(os.environ.get(name)) for name in _HUB_KEYS}
    names = {variable for card in cards.values() for variable in variables_of(card)}
    return {name: bool(os.environ.get(name)) for name in sorted(names.union(_HUB_KEYS))}


def _caches(problems: list[str]) -> tuple[Cache, ...]:
    try:
        require_writable(cache_folder() / "doctor")
    except MmdbenchError as error:
        problems.append(f"The cache folder cannot be written to: {error}")
    return list_caches()
