"""The card of a build that is published as a dataset: files, recipe, sources and their licences."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench._version import __version__
from mmdbench.benches import Bench
from mmdbench.benches.column_map import map_text
from mmdbench.benches.licences import forbidden_by, hub_licence
from mmdbench.builds import BuildPlan
from mmdbench.builds.manifest import BuiltOutput, Identity
from mmdbench.report.render.markdown import markdown_text

__all__ = ["dataset_card"]


def dataset_card(
    plan: BuildPlan, benches: Sequence[Bench], identity: Identity, outputs: Sequence[BuiltOutput]
) -> str:
    """The README of a dataset.

    Args:
        plan: The plan of the build.
        benches: Its benchmarks.
        identity: Its identity, with spec and versions.
        outputs: Its outputs.

    Returns:
        Markdown, with the Hub's metadata in front.
    """
    titles = ", ".join(markdown_text(bench.info.title or bench.name) for bench in benches)
    files = [(o.output.name, str(o.rows), str(o.pictures), str(o.no_ops)) for o in outputs]
    head = ("configuration", "rows", "pictures", "unchanged by their corruption")
    parts = [
        _metadata(plan, benches, outputs),
        f"# {titles}, degraded",
        f"Pictures of {titles} with the corruptions of MMD-Bench, made by mmdbench {__version__}.",
        "`manifest.json` and `manifests/` hold the recipe and the digests of every picture.",
        "## Sources and licences",
        *map(_source, benches),
        "## Recipe",
        _table(("setting", "value"), _recipe(plan, identity)),
        "To make it again, byte for byte:",
        f"```sh\n{_command(plan, benches)}\nmmdbench verify DIR\n```",
        "## Files",
        _table(head, files),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(plan: BuildPlan, benches: Sequence[Bench], outputs: Sequence[BuiltOutput]) -> str:
    named = {hub_licence(bench.info.licence) for bench in benches}
    licence = named.pop() if len(named) == 1 else "other"
    lines = ["---", f"license: {json.dumps(licence)}"]
    if licence == "other":
        lines.append('license_name: "that of each source, see below"')
    lines += ["task_categories:", "- visual-question-answering", "tags:", "- mmdbench", "- robustness"]
    lines.append("configs:")
    for output in outputs:
        name = output.output.name
        lines += [f"- config_name: {json.dumps(name)}", "  data_files:", "  - split: test"]
        paths = [f"{name}/**"] if plan.format == "folder" else [file.file for file in output.files]
        lines.append(f"    path: {json.dumps(paths)}")
        if plan.format == "tsv":
            lines.append('  sep: "\\t"')
    return "\n".join([*lines, "---"])


def _source(bench: Bench) -> str:
    info, forbidden = bench.info, forbidden_by(bench.info.licence)
    lines = [
        f"- **{markdown_text(info.title or bench.name)}**: {markdown_text(info.source or bench.name)}",
        f"  - licence: {markdown_text(info.licence)}",
        f"  - it forbids: {', '.join(forbidden)}" if forbidden else "",
        f"  - SHA-256 of its file: `{bench.sha256}`",
    ]
    return "\n".join(filter(None, lines))


def _recipe(plan: BuildPlan, identity: Identity) -> list[tuple[str, str]]:
    spec: Mapping[str, Any] = identity.spec
    record = {k: v for k, v in identity.plan.items() if k not in ("benches", "format") and v not in ("", [])}
    versions = ", ".join(f"{name} {version}" for name, version in identity.versions.items() if version)
    return [
        ("corruption spec", f"version {spec['version']}, digest {spec['digest']}"),
        *((name, _shown(value)) for name, value in record.items()),
        ("format", plan.format),
        ("made with", versions),
    ]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _command(plan: BuildPlan, benches: Sequence[Bench]) -> str:
    words = ["mmdbench", "build"]
    for bench in benches:
        words += ["--bench", bench.source or bench.name]
    maps = {map_text(bench.column_map) for bench in benches if bench.column_map}
    words += ["--column", maps.pop()] if len(maps) == 1 else []
    words += ["--level", ",".join(plan.levels), "--design", plan.design, "--seed", str(plan.seed)]
    words += ["--corruption", ",".join(plan.corruptions)] if plan.corruptions else []
    words += ["--sample", plan.sample] if plan.sample else []
    words += ["--degrade-again"] if plan.degrade_again else []
    words += ["--profile", plan.profile, "--codec", plan.codec, "--format", plan.format, "-o", "DIR"]
    return shlex.join(words)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([markdown_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
