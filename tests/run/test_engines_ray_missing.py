"""Without Ray, the engine `ray` says what to install, and the parts that need no Ray work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.run.engines.ray_actor import RayActor, checked_versions, make_part
from mmdbench.run.engines.settings import EngineSettings, open_pool


def test_without_ray_the_engine_names_the_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'mmdbench\[ray\]'"),
        open_pool(ModelCard("chance", "chance"), EngineSettings(engine="ray"), tmp_path),
    ):
        pass


def test_the_core_and_the_engines_import_no_ray():
    modules = "mmdbench.run.runner, mmdbench.cli.evaluate, mmdbench.run.engines.settings"
    code = f"import sys, {modules}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_node_with_other_versions_is_refused():
    other = {**checked_versions(), "libjpeg": "0.0"}
    opened = RayActor(ModelCard("chance", "chance"), other).open()
    assert opened.facts is None
    assert isinstance(opened.error, ModelError)
    assert "where the run was started it is 0.0" in str(opened.error)
    assert make_part([], checked_versions()) == []
