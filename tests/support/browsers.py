"""Headless Chromium by Playwright, and axe-core.

Looked for: Chromium in $MMDBENCH_CHROMIUM, on the PATH, or the one that Playwright brings; axe-core
in $MMDBENCH_AXE or node_modules (`npm install --no-save axe-core`).
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def chromium():
    """A browser; the test is skipped where none starts."""
    from playwright import sync_api

    path = os.environ.get("MMDBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except sync_api.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        yield found
        found.close()


def axe_core():
    """The source of axe-core; the test is skipped where it is not installed."""
    names = [os.environ.get("MMDBENCH_AXE", ""), str(ROOT / "node_modules/axe-core/axe.min.js")]
    for path in map(Path, filter(None, names)):
        if path.is_file():
            return path.read_text("utf-8")
    pytest.skip("axe-core is not here: npm install --no-save axe-core, or set MMDBENCH_AXE")


def violations(page):
    """Findings of axe-core: rule and place."""
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        (v["id"], node["target"], node["failureSummary"]) for v in found["violations"] for node in v["nodes"]
    ]
