"""The question about a picture's degradation, in our own words; it is a part of every reply's key."""

from __future__ import annotations

from collections.abc import Collection

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.records import BenchData, Index, Question, RunPlan, chain_steps
from mmdbench.scoring.families import unit_of

__all__ = ["LOOKS", "NOTHING", "perception_prompt", "perception_questions"]

NOTHING = "none"
"""The answer to expect for a picture that nothing was done to."""

LOOKS = {
    "lens_blur": "everything out of focus",
    "lens_flare": "bright discs with rays",
    "motion_blur": "smeared in one direction",
    "dirty_lens": "grey blotches and specks over the picture",
    "hsv_saturation": "colours washed out towards grey",
    "jpeg_compression": "blocks and halos of strong JPEG compression",
    "block_exchange": "square blocks that changed places",
    "mean_shift": "textures melted into flat patches",
    "scan_lines": "dark horizontal bands at equal distances",
    "dark_illumination": "too little light",
    "atmospheric_turbulence": "rows that sway as in hot air",
    "gaussian_noise": "coloured grain everywhere",
    "color_diffusion": "colours that bleed into a soft, darker haze",
    "sharpness_change": "edges sharpened until they glare",
    "graffiti": "strokes or a large word drawn over the picture",
    "watermark_damage": "smudged rectangles, as where a mark was removed",
}
"""The look of each corruption, in a few words."""


_ONE = (
    "It is either untouched or was degraded in one of these ways:\n",
    "\nWhich one is it, and how strong is it, from 0 (not to be seen) to 1 (as strong as can be)?",
    "You may think first. End with one line that holds the type and its strength:",
    "TYPE: STRENGTH",
)
_SEVERAL = (
    "It is either untouched or was degraded in one or more of these ways, one after another:\n",
    "\nWhich ones, and how strong is each, from 0 (not to be seen) to 1 (as strong as can be)?",
    "You may think first. End with one line that holds each type and its strength:",
    "TYPE: STRENGTH, TYPE: STRENGTH",
)


def perception_prompt(spec: Spec, *, several: bool = False, added: Collection[str] = ()) -> str:
    """The question about every picture: all types by category, and a line to answer in.

    Args:
        spec: The corruptions.
        several: True if a picture may show more than one type.
        added: Names of corruptions from outside that are asked about too.

    Returns:
        The prompt.
    """
    ways, question, ending, form = _SEVERAL if several else _ONE
    of_a_set = any(spec.corruption(name).of_set for name in added)
    lines = ["Look at the quality of this picture, not at what it shows.", ways]
    for category in spec.categories:
        lines.append(f"{category.replace('_', '-')}:")
        types = [c for c in spec.corruptions.values() if c.category == category]
        asked = [c for c in types if c.name in added or not (c.code or of_a_set)]
        lines += [f"- {c.name}: {c.look or LOOKS[c.name]}" for c in asked]
    lines += [question, ending, f"<degradation>{form}</degradation>"]
    lines.append(f"or, if the picture is untouched, <degradation>{NOTHING}</degradation>")
    return "\n".join(lines)


def perception_questions(bench: BenchData, spec: Spec, plan: RunPlan) -> tuple[Question, ...]:
    """The perception question, once for each unit of a benchmark.

    A unit keeps its index and its category, so that it meets the corruptions that the benchmark's
    own question meets under the same plan; the rotations of a circular group are one question.

    Args:
        bench: The benchmark.
        spec: Names the corruptions.
        plan: The run; its question is another one if it has chains.

    Returns:
        The questions.

    Raises:
        UsageError: The benchmark has no picture.
    """
    named = {step for name in plan.corruptions for step in chain_steps(name)}
    prompt = perception_prompt(spec, several=plan.has_chains, added=named)
    questions: dict[Index, Question] = {}
    for row in bench.questions:
        unit = unit_of(row, bench.family)
        if row.images and (unit not in questions or row.index == unit):
            fields = {"question": prompt, "category": row.category}
            questions[unit] = Question(bench.name, unit, {k: v for k, v in fields.items() if v}, row.images)
    if not questions:
        raise UsageError(f"{bench.name} has no picture that could be asked about.")
    return tuple(questions.values())
