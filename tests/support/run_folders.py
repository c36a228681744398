"""Runs for tests: as folders on disk, as the runner writes them, and as results in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import Cell, Question, Reply, RunPlan
from mmdbench.results.graded_run import RunResults, UnitHit, catalogue_names
from mmdbench.run.json_lines import read_records, write_lines
from mmdbench.run.manifest import read_manifest, save_manifest

LEVELS = ("clean", "low", "mid", "hard")


def hit(unit, level, value, corruption=None, bench="toy", category="c", stratum=""):
    """One hit in memory."""
    return UnitHit(bench, unit, level, corruption, category, float(value), stratum)


def results(hits, statuses=None, label="", replies=None, manifest=None, **changes):
    """A graded run in memory."""
    changes.setdefault("levels", ("clean", "hard"))
    plan = RunPlan(model="m", benches=("toy",), **changes)
    statuses = {"ok": len(hits)} if statuses is None else statuses
    score = SimpleNamespace(warnings=(), grades=(), metrics={}, judge=None, judge_record={}, headline=None)
    arms = tuple(
        SimpleNamespace(bench=bench, level="hard", corruption=None, no_ops=0, score=score)
        for bench in dict.fromkeys(h.bench for h in hits)
    )
    replies = replies or {}
    run = RunResults(manifest or {}, plan, arms, tuple(hits), statuses, label, None, tuple(replies), replies)
    return replace(run, **catalogue_names(dict.fromkeys(h.bench for h in hits)))


def published_hits(bench, level, points, corruption=None, n=4):
    """Hits whose mean is a printed score, whatever its last digit."""
    return [hit(u, level, points / 100, corruption, bench) for u in range(n)]


def shrunk(published, each=4):
    """A published result as if each of its benchmarks had `each` questions, as a small run has."""

    def small(row):
        n = each * len(row.covers)
        return replace(row, scores={level: replace(e, n=n) for level, e in row.scores.items()})

    return replace(
        published,
        main=tuple(map(small, published.main)),
        corruptions=tuple(map(small, published.corruptions)),
        overall=published.overall and small(published.overall),
    )


def question(index, bench="toy", answer="A", **fields):
    """A question with four options, or the fields given."""
    cells = {"question": f"Question {index}?", "A": "red", "B": "green", "C": "blue", "D": "grey"}
    return Question(bench, index, {**cells, "answer": answer, "category": f"c{index % 3}", **fields})


def write_run(
    folder,
    questions,
    answer,
    family="plain",
    corruptions=("graffiti",),
    levels=LEVELS,
    manifest=None,
    **plan,
):
    """Write a run's folder; `answer(question, level, corruption)` gives a text or a reply's fields."""
    folder.mkdir(parents=True, exist_ok=True)
    benches = list(dict.fromkeys(q.bench for q in questions))
    made = RunPlan(plan.pop("model", "toy-model"), tuple(benches), levels=levels, **plan)
    spec = load_spec()
    record = {
        "kind": "mmdbench run",
        "plan": made.as_dict(),
        "benches": [
            {
                "name": b,
                "family": family,
                "questions": sum(q.bench == b for q in questions),
                "sha256": f"sha-{b}",
            }
            for b in benches
        ],
        "model": {
            "name": made.model,
            "adapter": "toy",
            "generation": {},
            "fingerprint": {"name": made.model},
        },
        "spec": {"version": spec.version, "digest": spec.digest},
        "versions": {"opencv": "4.11.0"},
        **(manifest or {}),
    }
    cells, rows, replies = [], [], []
    for number, q in enumerate(questions):
        rows.append({"bench": q.bench, "family": family, "index": q.index, "fields": dict(q.fields)})
        for level in levels:
            if level in ("clean", "recoded"):
                names = (None,)
            elif made.design == "mixed":
                names = (corruptions[number % len(corruptions)],)
            else:
                names = corruptions
            for name in names:
                cell = Cell(q.bench, q.index, level, name)
                key = f"{q.bench}-{q.index}-{level}-{name}"
                cells.append({"cell": [q.bench, q.index, level, name, key]})
                got = answer(q, level, name)
                if got is None:
                    continue
                fields = got if isinstance(got, dict) else {"text": got}
                fields = {"status": "ok", "text": "", "seconds": 0.5} | fields
                replies.append(
                    Reply(key, cell.bench, cell.index, cell.level, cell.corruption, **fields).as_dict()
                )
    for name, lines in (("cells", cells), ("questions", rows), ("replies-0", replies)):
        write_lines(folder / f"{name}.jsonl", map(json.dumps, lines))
    save_manifest(folder, record)
    return folder


def change_manifest(folder, change):
    """Change the manifest of a run's folder, with a digest that fits: `change` gets it as a dict."""
    manifest = read_manifest(folder)
    change(manifest)
    save_manifest(folder, manifest)


def change_lines(path, change):
    """Change the records of a run's file of lines, with checks that fit; None removes one."""
    made = [change(record) for record in read_records(path)]
    write_lines(path, [json.dumps(record) for record in made if record is not None])
    if (path.parent / "manifest.json").exists():
        save_manifest(path.parent, read_manifest(path.parent), (path.name,))


def as_early(folder):
    """Make a run as early versions stored it: lines without checks, a manifest without digests."""
    for path in folder.rglob("*.jsonl"):
        path.write_text("".join(json.dumps(record) + "\n" for record in read_records(path)))
    manifest = read_manifest(folder)
    del manifest["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    (folder / ".manifest-copy.json").unlink()


def numbers(value):
    """All numbers inside a JSON-able value, in order; texts are left out, and a name that holds a label."""
    if isinstance(value, dict):
        return [part for item in value.values() for part in numbers(item)]
    if isinstance(value, list | tuple):
        return [part for item in value for part in numbers(item)]
    return [] if isinstance(value, str) else [value]
