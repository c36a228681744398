"""The real clients of the Hugging Face Hub, pointed at a server on this machine, and files for it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from local_hub import LocalHub

VALUE = {"dtype": "string", "_type": "Value"}
NUMBER = {"dtype": "int64", "_type": "Value"}
TEXTS = {"feature": VALUE, "_type": "List"}
IMAGE = {"_type": "Image"}


def point_clients_at(hub: LocalHub, folder: Path, monkeypatch: Any) -> None:
    """Send `huggingface_hub` and `datasets` to a hub, with empty caches and without a key."""
    import datasets
    import huggingface_hub

    constants = huggingface_hub.constants
    for name in ("MMDBENCH_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    place = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "datasets"))
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(folder / "modules"))
    huggingface_hub.HfFileSystem.clear_instance_cache()


def parquet(columns: dict[str, list[Any]], features: dict[str, Any]) -> bytes:
    """A Parquet file with features as `datasets` writes them."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    info = {"huggingface": json.dumps({"info": {"features": features}})}
    target = io.BytesIO()
    write_table(pa.table(columns).replace_schema_metadata(info), target, row_group_size=2)
    return target.getvalue()


def card(licence: str = "cc-by-4.0", **configs: dict[str, str]) -> bytes:
    """The card of a dataset with the files of its splits, by configuration."""
    lines = ["---", f"license: {licence}", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", "hello", ""]).encode()
