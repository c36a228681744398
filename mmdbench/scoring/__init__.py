"""Grading of replies: protocols that equal VLMEvalKit's, a judge where no rule decides, and tables."""

from __future__ import annotations

from mmdbench.scoring.extraction import EXTRACTIONS, extract_answer, extraction_version, is_truncated
from mmdbench.scoring.grading import Score, score
from mmdbench.scoring.inference import infer_option, infer_option_staged
from mmdbench.scoring.judging.calls import Judge, JudgeCall, JudgeReply
from mmdbench.scoring.judging.heads import has_words, keep_heads, kept_heads, load_heads
from mmdbench.scoring.judging.prompts import OWN_HEADS, Head, JudgeHeads, prompt_kind
from mmdbench.scoring.predictions import read_predictions, write_predictions
from mmdbench.scoring.protocols import DEFAULT_PROTOCOL, PROTOCOLS, Rules, ScoringProtocol, get_protocol
from mmdbench.scoring.sheet import OPENS_THOUGHT
from mmdbench.scoring.thoughts import begins_thought, prompt_opens_thought

__all__ = [
    "DEFAULT_PROTOCOL",
    "EXTRACTIONS",
    "OPENS_THOUGHT",
    "OWN_HEADS",
    "PROTOCOLS",
    "Head",
    "Judge",
    "JudgeCall",
    "JudgeHeads",
    "JudgeReply",
    "Rules",
    "Score",
    "ScoringProtocol",
    "begins_thought",
    "extract_answer",
    "extraction_version",
    "get_protocol",
    "has_words",
    "infer_option",
    "infer_option_staged",
    "is_truncated",
    "keep_heads",
    "kept_heads",
    "load_heads",
    "prompt_kind",
    "prompt_opens_thought",
    "read_predictions",
    "score",
    "write_predictions",
]
