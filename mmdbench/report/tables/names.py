"""The tables of reports by their keys."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TABLES"]

TABLES: Mapping[str, str] = {
    "levels": "scores of each benchmark by level, with their mean",
    "drops": "mean over benchmarks and its drop from clean",
    "ladder": "scores of all benchmarks, level by level",
    "scores-LEVEL": "scores of runs side by side at one level, such as scores-hard",
    "corruption-category": "scores by category of the corruption",
    "corruption": "scores by corruption",
    "corruption-models": "scores of runs side by side by corruption",
    "question-category": "scores by category of the question",
    "mce": "corruption error against the first run; needs several runs",
    "flips": "answers that flip between clean and degraded pictures",
    "retention": "what is retained of the clean score above guessing",
    "worst-case": "worst corruption of each question; needs several corruptions for each",
    "severity": "questions whose ladder of levels rises",
    "repeats": "spread between repeats and between questions; needs --repeat",
    "detectable": "differences that this many questions can show",
    "whole": "estimates of the whole benchmark from a sample",
    "statuses": "replies by status",
    "stages": "rules by which answers were read",
    "confidence": "confidence of the answers, where the server gives it",
    "trigger": "restorations that the model asked for",
    "time": "minutes in the model and in restoring",
    "phases": "seconds of a reply",
    "cost": "tokens and cost",
    "capabilities": "MM-Vet by capability",
    "quality": "image quality by level; needs mmdbench quality RUN",
    "rbench": "R-Bench's absolute robustness",
    "rbench-relative": "R-Bench's relative robustness",
    "rbench-steps": "R-Bench by step",
    "rbench-groups": "R-Bench by group",
    "rbench-distortions": "R-Bench by distortion",
    "rbench-published": "R-Bench as published; of published results alone",
    "perception": "recognised degradations by level; of --task perceive",
    "perception-corruptions": "recognised degradations by corruption; of --task perceive",
    "perception-chains": "recognised degradations of chains; of --task perceive",
    "false-alarms": "degradations claimed of untouched pictures; of --task perceive",
}
"""Keys of tables that `--table` takes, with what each shows; a run has those that it has numbers for."""
