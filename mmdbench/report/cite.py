"""BibTeX and a methods paragraph for a paper that reports a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmdbench._version import __version__
from mmdbench.report.scores import levels_of
from mmdbench.report.tables.collect import weighting_of
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import RunResults
from mmdbench.scoring import extraction_version
from mmdbench.system.printable import log_line

__all__ = ["citations", "methods"]


class _Paper(NamedTuple):
    """A paper at arXiv: its title, its number and its authors in their order."""

    title: str
    number: str
    authors: str


# By the beginning of a benchmark's name; the first two are no benchmarks.
_ARXIV = {
    "clear": _Paper(
        "CLEAR: Unlocking Generative Potential for Degraded Image Understanding in Unified Multimodal Models",
        "2604.04780",
        "Xiangzhao Hao, Zefeng Zhang, Zhenyu Zhang, Linhao Yu, Yao Chen, Yiqian Zhang, Haiyun Guo, "
        "Shuohuan Wang, Yu Sun",
    ),
    "imagenetc": _Paper(
        "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        "1903.12261",
        "Dan Hendrycks, Thomas Dietterich",
    ),
    "MMBench": _Paper(
        "MMBench: Is Your Multi-modal Model an All-around Player?",
        "2307.06281",
        "Yuan Liu, Haodong Duan, Yuanhan Zhang, Bo Li, Songyang Zhang, Wangbo Zhao, Yike Yuan, Jiaqi Wang, "
        "Conghui He, Ziwei Liu, Kai Chen, Dahua Lin",
    ),
    "MM-Vet": _Paper(
        "MM-Vet: Evaluating Large Multimodal Models for Integrated Capabilities",
        "2308.02490",
        "Weihao Yu, Zhengyuan Yang, Linjie Li, Jianfeng Wang, Kevin Lin, Zicheng Liu, Xinchao Wang, "
        "Lijuan Wang",
    ),
    "MMVP": _Paper(
        "Eyes Wide Shut? Exploring the Visual Shortcomings of Multimodal LLMs",
        "2401.06209",
        "Shengbang Tong, Zhuang Liu, Yuexiang Zhai, Yi Ma, Yann LeCun, Saining Xie",
    ),
    "CV-Bench": _Paper(
        "Cambrian-1: A Fully Open, Vision-Centric Exploration of Multimodal LLMs",
        "2406.16860",
        "Shengbang Tong, Ellis Brown, Penghao Wu, Sanghyun Woo, Manoj Middepogu, Sai Charitha Akula, "
        "Jihan Yang, Shusheng Yang, Adithya Iyer, Xichen Pan, Austin Wang, Rob Fergus, Yann LeCun, "
        "Saining Xie",
    ),
    "MMStar": _Paper(
        "Are We on the Right Way for Evaluating Large Vision-Language Models?",
        "2403.20330",
        "Lin Chen, Jinsong Li, Xiaoyi Dong, Pan Zhang, Yuhang Zang, Zehui Chen, Haodong Duan, Jiaqi Wang, "
        "Yu Qiao, Dahua Lin, Feng Zhao",
    ),
    "R-Bench": _Paper(
        "R-Bench: Are your Large Multimodal Model Robust to Real-world Corruptions?",
        "2410.05474",
        "Chunyi Li, Jianbo Zhang, Zicheng Zhang, Haoning Wu, Yuan Tian, Wei Sun, Guo Lu, Xiaohong Liu, "
        "Xiongkuo Min, Weisi Lin, Guangtao Zhai",
    ),
    "MMMB": _Paper(
        "Parrot: Multilingual Visual Instruction Tuning",
        "2406.02539",
        "Hai-Long Sun, Da-Wei Zhou, Yang Li, Shiyin Lu, Chao Yi, Qing-Guo Chen, Zhao Xu, Weihua Luo, "
        "Kaifu Zhang, De-Chuan Zhan, Han-Jia Ye",
    ),
}
_NOTES = {"clear": "the corruptions, levels and benchmarks", "imagenetc": "corruption error"}


def citations(runs: Sequence[RunResults] = ()) -> str:
    """BibTeX of mmdbench, the paper behind its corruptions, and the benchmarks of the runs."""
    names = [run.benchmark(bench) for run in runs for bench in run.benches]
    wanted = [key for key in _ARXIV if key in _NOTES or any(name.startswith(key) for name in names)]
    software = [
        "  author  = {{The mmdbench developers}}",
        "  title   = {mmdbench}",
        f"  version = {{{__version__}}}",
        "  note    = {Robustness of vision-language models to degraded images}",
    ]
    entries = ["@software{mmdbench,\n" + ",\n".join(software) + "\n}"]
    for key in wanted:
        title, number, authors = _ARXIV[key]
        # An arXiv number begins with the year's last two digits.
        lines = [f"  author        = {{{authors.replace(', ', ' and ')}}}"]
        lines += [f"  title         = {{{{{title}}}}}", f"  year          = {{20{number[:2]}}}"]
        lines += [f"  eprint        = {{{number}}}", "  archivePrefix = {arXiv}"]
        lines += [f"  url           = {{https://arxiv.org/abs/{number}}}"]
        lines += [f"  note          = {{for {_NOTES[key]}}}"] if key in _NOTES else []
        entries.append(f"@misc{{{key.lower()},\n" + ",\n".join(lines) + "\n}")
    return "\n\n".join(entries) + "\n"


def methods(run: RunResults) -> str:
    """A methods paragraph for a paper: model, benchmarks, design, scoring and versions of a run.

    The notes that limit the run's numbers are lines after it, or before it if the run is not settled.
    """
    plan = run.plan
    benches = ", ".join(
        f"{run.title(b['name'])} ({b.get('questions', '?')} rows, SHA-256 {b['sha256'][:12]})"
        for b in run.manifest.get("benches", ())
    )
    versions = run.manifest.get("versions", {})
    spec = run.manifest.get("spec", {})
    made = f"{weighting_of(run)}), seed {plan.seed}, profile {plan.profile}, codec {plan.codec}"
    if plan.design == "released":
        made = f"the authors' own degraded files), seed {plan.seed}"
    restoration = run.manifest.get("restoration")
    restored = f", restored by {restoration['fingerprint']['name']} first" if restoration else ""
    sample = f", sample {plan.sample}" if plan.sample else ""
    came = f"{run.planned - run.unanswered} of {run.planned} planned answers came back."
    spec_name = (
        f"{spec.get('set', '')} {spec.get('version', '?')} ({str(spec.get('digest', ''))[:12]})".lstrip()
    )
    used = ", ".join(f"{k} {versions[k]}" for k in ("opencv", "numpy", "pillow", "libjpeg") if k in versions)
    paragraph = (
        f"We measured {run.model} with mmdbench {versions.get('mmdbench', __version__)} on {benches}, "
        f"at the levels {', '.join(levels_of([run]))}, design {plan.design} ({made}"
        f"{restored}{sample}, corruption spec {spec_name}, "
        f"scored by {plan.protocol} (answers read by {extraction_version(plan.extraction)}{_judged(run)}). "
        f"{came} "
        "Intervals are 95 %: Wilson for scores, Bonett and Price's paired interval for drops, with the "
        "question as the unit. "
        f"Versions: {used or 'unknown'}."
    )
    notes = "".join(f"- {log_line(note)}\n" for note in run_notes(run))
    paragraph = f"{log_line(paragraph)}\n"
    parts = [paragraph, notes] if run.settled else [notes, paragraph]
    return "\n".join(part for part in parts if part)


def _judged(run: RunResults) -> str:
    if not run.judge:
        return ""
    records = [arm.score.judge_record for arm in run.arms if arm.score.judge]
    counts = [arm.score.counts for arm in run.arms if arm.score.judge]
    heads = {h["id"]: h["sha256"][:12] for record in records for h in record.get("prompts", ())}
    asked = "; prompts " + ", ".join(f"{k}, SHA-256 {v}" for k, v in sorted(heads.items())) if heads else ""
    judged, failed = (sum(r[name] for r in counts) for name in ("judged", "judge_failed"))
    return f", what rules cannot read by the judge {run.judge}: {judged} rows, {failed} not settled{asked}"
