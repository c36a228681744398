"""Degraded benchmarks on disk: cells → files and a manifest, and the proof that they are right."""

from __future__ import annotations

from mmdbench.builds.build import BuildProgress, BuildSettings, BuildSummary, run_build
from mmdbench.builds.plan import FORMATS, BuildPlan

__all__ = ["FORMATS", "BuildPlan", "BuildProgress", "BuildSettings", "BuildSummary", "run_build"]
