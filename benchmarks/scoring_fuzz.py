"""Differential fuzz against VLMEvalKit's own code: inference, judge prompts, circular groups, tables.

    python benchmarks/scoring_fuzz.py --cases 100000 --wheels FOLDER

FOLDER (or MMDBENCH_VLMEVAL_WHEELS) holds the wheels ms-vlmeval 0.0.17 (the rules of `clear/1`) and
0.0.20 (those of `vlmevalkit/1` but for "answer is X"), plain or unpacked. Only three modules are
executed, with stand-ins for the rest of the package, so that torch is never imported.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import time
import types
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.records import Question
from mmdbench.scoring import (
    JudgeCall,
    JudgeReply,
    Rules,
    ScoringProtocol,
    get_protocol,
    infer_option,
    load_heads,
    score,
)
from mmdbench.scoring.judging.prompts import JudgeHeads, mcq_prompt, open_answer_prompt

VERSIONS = {"0.0.17": "clear/1", "0.0.20": "vlmevalkit/1"}
MATCHING = "vlmeval/utils/matching_util.py"
CHOICES = "vlmeval/dataset/utils/multiple_choice.py"
MMVET = "vlmeval/dataset/utils/mmvet.py"
ANSWER_IS = re.compile(r"answer\s+is\s+\**[A-D]", re.IGNORECASE)

WORDS = (
    "the",
    "a",
    "A",
    "I",
    "answer",
    "Answer",
    "ANSWER",
    "is",
    "option",
    "Option",
    "choice",
    "because",
    "so",
    "not",
    "it",
    "image",
    "shows",
    "neither",
    "nor",
    "both",
    "and",
    "or",
    "<answer>",
    "</answer>",
    "\\boxed",
    "$",
    "**",
    "Z",
    "z",
    "none of the above",
    "an\u017fwer i\u017f",
    "\u0130s",
    "answer\u00a0is",
    "\u56fe\u4e2d",
    "\u2160",
    "\uff21",
    "\u00df",
    "\u0130",
)
SEPARATORS = (
    " ",
    " ",
    " ",
    "",
    "\n",
    "\t",
    ".",
    ". ",
    "(",
    ")",
    "[",
    "]",
    ",",
    ", ",
    ":",
    ": ",
    ";",
    "!",
    "*",
    "#",
    "{",
    "}",
    "-",
    "?",
    "/",
    "|",
    "_",
    '"',
    "'",
    "`",
    "\u3000",
    "\u2028",
    "\u001c",
    "\uff08",
    "\uff09",
    "\u3001",
    "\r\n",
)
SENTENCES = (
    "Failed to obtain answer via API.",
    "failed to obtain answer via api",
    "Failed to obtain answer via API",
    "Sorry, I can't help with images of people yet.",
    "Sorry, I can\u2019t help with images of people yet.",
    "I can't process this file.",
    "I can't process this file",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
    "cannot determine the answer",
    "The answer is ",
    "the answer is: ",
    "answer is **",
    "Answer  is\n",
    "The correct option is ",
    "I would say ",
    "Looking at the picture closely, ",
)
OPTIONS = (
    "cat",
    "Cat",
    "dog",
    "a dog",
    "bird",
    "fish",
    "a",
    "b",
    "A",
    "1",
    "11",
    "3.0",
    "",
    " ",
    "yes",
    "no",
    "None",
    "not a cat",
    "\u0130stanbul",
    "\u1e9e\u0130",
    "stra\u00dfe",
    "\u03a3\u03a3",
    "the left one",
    "left",
    "B. cat",
    "\u7ea2\u8272",
    "x" * 40,
    "red\nblue",
)


@dataclass(frozen=True)
class Upstream:
    """One version of VLMEvalKit: its functions by name, and its judge heads."""

    version: str
    can_infer: Callable[[str, dict[str, str]], Any]
    choices: types.ModuleType
    mmvet: types.ModuleType
    heads: JudgeHeads


def load_upstream(folder: Path, version: str) -> Upstream | None:
    """The needed functions of one version, or None if the folder does not hold it."""
    wheel = next(iter(sorted(folder.rglob(f"ms_vlmeval-{version}-*.whl"))), None)
    unpacked = next(
        (p for p in sorted(folder.rglob(f"ms_vlmeval-{version}*")) if (p / MATCHING).is_file()), None
    )
    source = wheel or unpacked
    if source is None:
        return None

    def code(name: str) -> str:
        if wheel is not None:
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(name).decode()
        return (source / name).read_text("utf-8")

    os.environ.pop("VERBOSE", None)
    smp = _stand_ins()
    matching = _execute("matching_util", code(MATCHING), smp)
    choices = _execute("multiple_choice", code(CHOICES), {**smp, **vars(matching)})
    return Upstream(
        version, matching.can_infer, choices, _execute("mmvet", code(MMVET), smp), load_heads(source)
    )


def _stand_ins() -> dict[str, Any]:
    import pandas as pd

    def option_text(options: dict[str, Any]) -> str:
        return "There are several options: \n" + "".join(
            f"{k}. {v}\n" for k, v in options.items() if not pd.isna(v)
        )

    log = types.SimpleNamespace(warning=lambda *_: None, info=lambda *_: None)
    return {
        "pd": pd,
        "defaultdict": defaultdict,
        "os": os,
        "logger": log,
        "get_logger": lambda *_: log,
        "build_option_str": option_text,
        "cn_string": _is_chinese,
        "istype": isinstance,
    }


def _is_chinese(text: str) -> bool:
    return re.search("[\u4e00-\u9fff]", text) is not None


def _execute(name: str, code: str, names: dict[str, Any]) -> types.ModuleType:
    """Run a module's text with every import of its own package left out."""
    own_import = re.compile(r"^from (?:vlmeval|\.)[^\n(]*import (?:\([^)]*\)|[^\n]*)$", re.MULTILINE)
    module = types.ModuleType(name)
    vars(module).update(names)
    exec(compile(own_import.sub("", code), name, "exec"), vars(module))  # noqa: S102 - of a wheel that is named
    return module


def random_case(rng: random.Random) -> tuple[str, dict[str, str]]:
    """A reply and options, built from fragments that the rules look at."""
    labels = rng.choice(("ABCD", "ABCD", "AB", "ABC", "ABCDEF", "ACD", "BD", "", "ABZ", "A", "EFGH"))
    options = {label: rng.choice(OPTIONS[:14] if rng.random() < 0.7 else OPTIONS) for label in labels}
    parts: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 2, 3, 4, 6, 9, 15))):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice("ABCDEFZ" if rng.random() < 0.8 else "abcdez"))
        elif kind < 0.6:
            parts.append(rng.choice(WORDS))
        elif kind < 0.8 and options:
            text = rng.choice(list(options.values()))
            parts.append(rng.choice((text, text.upper(), text.lower(), text.title())))
        elif kind < 0.85:
            parts.append(rng.choice(SENTENCES))
        elif kind < 0.92:
            parts.append(
                rng.choice(("answer is ", "Answer\tIs  **", "the an\u017fwer \u0130s "))
                + rng.choice("ABCDEabcd")
            )
        else:
            parts.append("word " * rng.choice((1, 3, 10, 40)))
        parts.append(rng.choice(SEPARATORS))
    return "".join(parts), options


def check_inference(upstream: Upstream, cases: int, seed: int) -> Iterator[str]:
    """Mismatches of option inference, under the rules that the version shares with the protocol."""
    rng = random.Random(seed)
    full = get_protocol(VERSIONS[upstream.version])
    shared: ScoringProtocol = replace(full, answer_is=False)
    for _ in range(cases):
        text, options = random_case(rng)
        theirs = upstream.can_infer(text, dict(options)) or None
        ours = infer_option(text, options, protocol=shared)
        if ours != theirs:
            yield f"{upstream.version}: {text!r} {options} ours {ours!r} theirs {theirs!r}"
        # The one rule that the wheel lacks can change nothing if its phrase does not occur.
        if not ANSWER_IS.search(text) and infer_option(text, options, protocol=full) != theirs:
            yield f"{upstream.version}: {text!r} {options}: full rules differ without the phrase"


def check_prompts(upstream: Upstream, cases: int, seed: int) -> Iterator[str]:
    """Mismatches of whole judge prompts, heads included."""
    rng = random.Random(seed)
    for _ in range(cases):
        prediction, options = random_case(rng)
        question = random_case(rng)[0].replace("{", "(").replace("}", ")")
        chinese = vars(upstream.choices)["cn_string"](question)
        build = upstream.choices.build_prompt_cn if chinese else upstream.choices.build_prompt
        theirs = build(question, vars(upstream.choices)["build_option_str"](options), prediction)
        if mcq_prompt(upstream.heads, question, options, prediction)[1] != theirs:
            yield f"{upstream.version}: MCQ prompt of {question!r} {options} {prediction!r}"
        truth = rng.choice(("<AND>", "<OR>", "|", "")).join(rng.choice(OPTIONS) for _ in range(3))
        line = {"question": question, "answer": truth, "prediction": prediction}
        if open_answer_prompt(upstream.heads.mmvet, question, truth, prediction)[
            1
        ] != upstream.mmvet.build_mmvet_gpt4_prompt(line):
            yield f"{upstream.version}: MM-Vet prompt of {question!r} {truth!r} {prediction!r}"


@dataclass(frozen=True)
class _Bench:
    name: str
    family: str
    questions: tuple[Question, ...]


@dataclass
class _Oracle:
    """A judge that gives both sides the same reply for the same row and attempt."""

    seed: int
    id: str = "oracle"

    def reply(self, prompt: str, attempt: int) -> str:
        draw = random.Random(f"{self.seed}/{prompt}/{attempt}")
        return draw.choice(
            ("A", "B.", "(C)", "D", "Z", "A or B", "no idea", "Failed to obtain answer via API.")
        )

    def ask(self, call: JudgeCall) -> JudgeReply:
        return JudgeReply(self.reply(call.prompt, call.attempt))


class _CountingModel:
    """The oracle behind VLMEvalKit's interface, which counts attempts by prompt."""

    def __init__(self, oracle: _Oracle) -> None:
        self.oracle, self.last, self.attempt = oracle, "", 0

    def generate(self, prompt: str) -> str:
        self.attempt = self.attempt + 1 if prompt == self.last else 1
        self.last = prompt
        return self.oracle.reply(prompt, self.attempt)


def check_circular(upstream: Upstream, cases: int, seed: int) -> Iterator[str]:
    """Mismatches of circular groups, rules and judge together."""
    import pandas as pd

    rng = random.Random(seed)
    protocol = VERSIONS[upstream.version]
    rd = types.SimpleNamespace(choice=lambda _options: "Z")
    vars(upstream.choices)["rd"] = rd
    for case in range(cases):
        texts = rng.sample([option for option in OPTIONS if option.strip()], 4)
        records = []
        for turn in range(rng.choice((1, 2, 3, 4))):
            options = dict(zip("ABCD", texts[turn:] + texts[:turn], strict=True))
            answer = "ABCD"[-turn % 4]
            reply = answer if rng.random() < 0.6 else random_case(rng)[0]
            if protocol == "vlmevalkit/1" and ANSWER_IS.search(reply):
                reply = "hard to say"
            row = {"question": f"case {case}, turn {turn}", **options}
            records.append({"index": 7 + turn * 1_000_000, **row, "GT": answer, "prediction": reply})
        oracle = _Oracle(rng.randrange(10**6))
        frame = pd.DataFrame(records)
        theirs = upstream.choices.eval_circular_group(_CountingModel(oracle), frame)
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
        questions = tuple(
            Question("fuzz", r["index"], {**{k: r[k] for k in ("question", *"ABCD")}, "answer": r["GT"]})
            for r in records
        )
        replies = {r["index"]: r["prediction"] for r in records}
        ours = score(
            _Bench("fuzz", "circular", questions),
            replies,
            Rules(protocol, "none"),
            judge=oracle,
            heads=upstream.heads,
        )
        if ours.group_hits[7] != theirs["hit"]:
            yield f"{upstream.version}: circular {records} ours {ours.group_hits[7]} theirs {theirs}"


def check_tables(upstream: Upstream, cases: int, seed: int) -> Iterator[str]:
    """Mismatches of the tables by split and category, and of MM-Vet's two tables."""
    rng = random.Random(seed)
    for _ in range(cases):
        yield from _check_report(upstream, rng)
        yield from _check_mmvet(upstream, rng)


def _check_report(upstream: Upstream, rng: random.Random) -> Iterator[str]:
    import pandas as pd

    names = ("coarse_perception", "LR", "logic_reasoning", "ocr", "math", "x y")
    has = {name: rng.random() < 0.6 for name in ("split", "category", "l2-category")}
    records = []
    for index in range(rng.choice((1, 2, 5, 20))):
        cells = {name: rng.choice(("dev", "test") if name == "split" else names) for name in has if has[name]}
        records.append({"index": index, **cells, "hit": rng.randrange(2)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        table = upstream.choices.report_acc(pd.DataFrame(records)).to_dict("records")
    theirs = [{k: None if v != v else v for k, v in record.items()} for record in table]  # NaN
    questions = tuple(
        Question("fuzz", r["index"], {**{k: r[k] for k in has if k in r}, "A": "x", "B": "y", "answer": "A"})
        for r in records
    )
    replies = {r["index"]: "A" if r["hit"] else "B" for r in records}
    ours = score(
        _Bench("fuzz", "plain", questions), replies, Rules(VERSIONS[upstream.version])
    ).vlmevalkit_table
    if not _close(ours, theirs, "split"):
        yield f"{upstream.version}: table of {records} ours {ours} theirs {theirs}"


def _check_mmvet(upstream: Upstream, rng: random.Random) -> Iterator[str]:
    import pandas as pd

    parts = ("rec", "ocr", "know", "gen", "spat", "math", "recognition", "other")
    cells = [",".join(rng.sample(parts, rng.choice((1, 1, 2, 3)))) for _ in range(20)]
    cells.append(",".join(parts[:6]))
    grades = [rng.randrange(11) / 10 for _ in cells]
    frame = pd.DataFrame({"category": cells, "score": grades})
    vars(upstream.mmvet)["load"] = lambda _: frame
    theirs = [table.to_dict("records") for table in upstream.mmvet.MMVet_acc("")]
    questions = tuple(Question("fuzz", i, {"category": c, "answer": "x"}) for i, c in enumerate(cells))
    judge = types.SimpleNamespace(id="j", ask=lambda call: JudgeReply(str(grades[call.index])))
    result = score(_Bench("fuzz", "mmvet", questions), dict.fromkeys(range(len(cells)), "r"), judge=judge)
    if not _close(result.vlmevalkit_table, theirs[0]) or not _close(result.metrics["fine"], theirs[1]):
        yield f"{upstream.version}: MM-Vet {cells} {grades} ours {result.vlmevalkit_table} theirs {theirs}"


def _close(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], sort_by: str = "") -> bool:
    if sort_by:
        ours, theirs = (sorted(table, key=lambda record: record[sort_by]) for table in (ours, theirs))
    return len(ours) == len(theirs) and all(
        set(a) == set(b) and all(a[k] == b[k] or abs(a[k] - b[k]) < 1e-9 for k in a)
        for a, b in zip(ours, theirs, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000, help="replies per version")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wheels", type=Path, default=os.environ.get("MMDBENCH_VLMEVAL_WHEELS"))
    args = parser.parse_args()
    if args.wheels is None:
        parser.error("name the folder of the wheels with --wheels or MMDBENCH_VLMEVAL_WHEELS")
    wrong = 0
    for version in VERSIONS:
        upstream = load_upstream(Path(args.wheels), version)
        if upstream is None:
            print(f"ms-vlmeval {version}: not in {args.wheels}")
            wrong += 1
            continue
        for check, cases in (
            (check_inference, args.cases),
            (check_prompts, args.cases // 10),
            (check_circular, args.cases // 50),
            (check_tables, args.cases // 100),
        ):
            start = time.perf_counter()
            found = list(check(upstream, cases, args.seed))
            wrong += len(found)
            seconds = time.perf_counter() - start
            print(f"{version} {check.__name__}: {cases} cases, {len(found)} mismatches, {seconds:.1f} s")
            for line in found[:5]:
                print("   ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
