"""Rankings: groups of results that may be compared, and in each the ranks at every level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from mmdbench.corruptions.spec_file import described_spec
from mmdbench.records import UNALTERED, in_order
from mmdbench.report.board.submission import Submission
from mmdbench.report.identity import differences
from mmdbench.report.paired_gaps import Gap, gap_of, mean_gap
from mmdbench.report.published import PREFIX, published_rows
from mmdbench.report.question_series import Series
from mmdbench.report.scores import (
    AVERAGE,
    LevelRow,
    breakdown,
    levels_of,
    main_rows,
    overall_row,
    partitions,
    run_series,
)
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import difference, rank_intervals

__all__ = ["BoardEntry", "BoardGroup", "Standings", "published_groups", "submission_groups"]

_PAPERS = {
    "CLEAR": "https://arxiv.org/abs/2604.04780",
    "Robust-R1": "https://arxiv.org/abs/2512.17532",
    "R-Bench": "https://arxiv.org/abs/2410.05474",
}
_FACTS = {
    "protocol": "protocol",
    "extraction": "answers read by",
    "judge": "judge",
    "design": "design",
    "corruptions": "corruptions",
    "profile": "profile",
    "codec": "codec",
    "sample": "sample",
    "seed": "seed",
    "spec": "corruption spec",
}
"""Settings of an identity that a group shows, with their names."""
_OWN = {"own prompts": "own prompts", "restoration": "pictures restored first", "repeat": "asked repeatedly"}
"""Settings that may differ between comparable runs, with the words that are shown under a name."""


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """A result on a board: its rows of scores, its rows by corruption, and notes that limit them.

    `links` are words and addresses, that of its page first. `unranked` is the reason why it has no rank.
    `about` is shown under the name.
    """

    name: str
    rows: tuple[LevelRow, ...]
    parts: tuple[LevelRow, ...]
    links: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    about: str = ""
    unranked: str = ""
    run: RunResults | None = None


@dataclass(frozen=True, slots=True)
class Standings:
    """The entries with scores of one benchmark or mean, and by level the best and worst rank of each.

    `overall` is True for the mean over benchmarks, or the only benchmark.
    """

    id: str
    name: str
    rows: tuple[tuple[BoardEntry, LevelRow], ...]
    ranks: Mapping[str, Mapping[int, tuple[int, int]]]
    overall: bool = False


@dataclass(frozen=True, slots=True)
class BoardGroup:
    """Results that may be compared: their common settings, standings by benchmark, and levels in order."""

    title: str
    facts: Mapping[str, str]
    entries: tuple[BoardEntry, ...]
    standings: tuple[Standings, ...]
    levels: tuple[str, ...]
    published: bool = False


@dataclass
class _Pairs:
    """One-sided p-values of pairs of results; the gaps of runs are paired by question, each made once."""

    _series: dict[int, Mapping[tuple[str, str], Series]] = field(default_factory=dict)
    _gaps: dict[tuple[int, int, str, str], Gap | None] = field(default_factory=dict)

    def not_better(
        self, first: tuple[BoardEntry, LevelRow], second: tuple[BoardEntry, LevelRow], level: str
    ) -> float | None:
        """The p-value of the first not being better at a level; None without shared questions."""
        runs = first[0].run, second[0].run
        if runs[0] is None or runs[1] is None:
            gap = difference(first[1].scores[level], second[1].scores[level])
            value, p = gap.value, gap.p_value()
        else:
            found = self._gap(runs[0], runs[1], first[1], level)
            if found is None:
                return None
            value, p = found.estimate.value, found.p_value
        return p / 2 if value > 0 else 1 - p / 2

    def _gap(self, first: RunResults, second: RunResults, row: LevelRow, level: str) -> Gap | None:
        benches = [bench for bench in first.benches if first.benchmark(bench) in row.covers]
        found = []
        for bench in benches:
            at = UNALTERED if bench in first.unaltered else level
            gap = self._bench_gap(first, second, bench, at)
            if gap is None:
                return None
            found.append(gap)
        if len(found) > 1:
            return mean_gap(row.id, level, found)
        return found[0] if found else None

    def _bench_gap(self, first: RunResults, second: RunResults, bench: str, level: str) -> Gap | None:
        key = (id(first), id(second), bench, level)
        if key not in self._gaps:
            ours, theirs = (self._of(run).get((bench, level)) for run in (first, second))
            self._gaps[key] = gap_of(bench, level, ours, theirs) if ours and theirs else None
        return self._gaps[key]

    def _of(self, run: RunResults) -> Mapping[tuple[str, str], Series]:
        if id(run) not in self._series:
            self._series[id(run)] = run_series(run)
        return self._series[id(run)]


def submission_groups(
    submissions: Sequence[Submission], links: Sequence[tuple[tuple[str, str], ...]]
) -> list[BoardGroup]:
    """The groups of submissions that may be compared.

    Args:
        submissions: The submissions.
        links: Words and addresses of each.

    Returns:
        The groups in the order of their first submissions. A submission is in the first group with all of
        whose members it can be compared by the rules of `mmdbench compare`, and with which it shares every
        question of the benchmarks that both asked.
    """
    made = [_entry(one, own) for one, own in zip(submissions, links, strict=True)]
    places: list[list[int]] = []
    for number in range(len(submissions)):
        like = (members for members in places if all(_alike(made, submissions, number, m) for m in members))
        group = next(like, None)
        if group is None:
            places.append([number])
        else:
            group.append(number)
    titles = [_title(submissions[members[0]]) for members in places]
    counts, pairs = Counter(titles), _Pairs()
    groups = []
    for place, (members, title) in enumerate(zip(places, titles, strict=True)):
        first = submissions[members[0]]
        named = title
        if counts[title] > 1:
            twin = submissions[places[titles.index(title)][0]]
            fields = [d.field for d in differences(twin.identity, first.identity) if d.blocks]
            named += f" ({', '.join(fields[:2]) or 'other questions'}: {place + 1})"
        groups.append(_group(named, _facts(first), [made[m] for m in members], pairs))
    return groups


def published_groups(names: Sequence[str]) -> list[BoardGroup]:
    """The groups of published results, one for each paper, by their names as `paper:clear-rl`."""
    by_paper: dict[str, list[BoardEntry]] = {}
    for name in names:
        found = published_rows(name)
        link = (("paper", _PAPERS[found.paper]),)
        rows = tuple(row for row in found.main if row.scores)
        if rows:
            entry = BoardEntry(found.label.removeprefix(PREFIX), rows, found.corruptions, link, found.notes)
            by_paper.setdefault(found.paper, []).append(entry)
    facts = {"protocol": "that of the paper", "pairing": "none: no grades of questions were published"}
    return [
        _group(f"Published: {paper}", facts, by_paper[paper], _Pairs(), published=True)
        for paper in _PAPERS
        if paper in by_paper
    ]


def _entry(one: Submission, links: tuple[tuple[str, str], ...]) -> BoardEntry:
    run, spec = one.results, described_spec(one.results.manifest)
    levels = levels_of([run])
    _, by_category, by_corruption = partitions(spec)
    parts = (row for cut in (by_category, by_corruption) for row in breakdown(run, levels, cut))
    about = [run.plan.model] if run.plan.model != run.name else []
    about += [words for key, words in _OWN.items() if one.identity.get(key)]
    about += [f"asked {one.record['asked'][:10]}"] if one.record["asked"] else []
    rows = tuple(row for row in main_rows(run, levels) if row.scores)
    notes = tuple(one.record["notes"])
    return BoardEntry(run.name, rows, tuple(parts), links, notes, " · ".join(about), one.problem, run)


def _alike(entries: Sequence[BoardEntry], of: Sequence[Submission], first: int, second: int) -> bool:
    if any(d.blocks for d in differences(of[first].identity, of[second].identity)):
        return False
    theirs = {row.id: row for row in entries[second].rows if not row.is_average}
    return all(
        row.asked[level] == theirs[row.id].asked[level]
        for row in entries[first].rows
        if row.id in theirs
        for level in row.asked
        if level in theirs[row.id].asked
    )


def _title(one: Submission) -> str:
    known = one.identity
    parts = (known["protocol"], one.record["judge"] or "no judge", known["design"], known.get("codec"))
    sample = known.get("sample")
    return " · ".join([*map(str, filter(None, parts)), f"sample {sample}" if sample else "all questions"])


def _facts(one: Submission) -> dict[str, str]:
    found = {}
    for key, name in _FACTS.items():
        value = one.identity.get(key)
        found[name] = (
            ", ".join(map(str, value))
            if isinstance(value, (list, tuple))
            else ""
            if value is None
            else str(value)
        )
    found |= {"corruptions": found["corruptions"] or "all", "sample": found["sample"] or "all questions"}
    return {name: value or "none" for name, value in found.items()}


def _group(
    title: str,
    facts: Mapping[str, str],
    entries: Sequence[BoardEntry],
    pairs: _Pairs,
    *,
    published: bool = False,
) -> BoardGroup:
    levels = in_order(level for entry in entries for row in entry.rows for level in row.scores)
    tables: dict[tuple[str, frozenset[str]], list[tuple[BoardEntry, LevelRow]]] = {}
    for entry in entries:
        for row in entry.rows:
            tables.setdefault((row.id, frozenset(row.covers)), []).append((entry, row))
    standings = []
    for (row_id, _), rows in tables.items():
        row = rows[0][1]
        name = f"{row.name}: {', '.join(row.covers)}" if row.is_average else row.name
        overall = row.is_average or any((overall_row(e.rows) or e.rows[0]).id == row_id for e, _ in rows)
        ranks = {level: _ranks(rows, level, pairs) for level in levels}
        standings.append(Standings(row_id, name, tuple(rows), ranks, overall))
    standings.sort(key=lambda one: (not one.id.startswith(AVERAGE), not one.overall))
    return BoardGroup(title, facts, tuple(entries), tuple(standings), levels, published)


def _ranks(
    rows: Sequence[tuple[BoardEntry, LevelRow]], level: str, pairs: _Pairs
) -> dict[int, tuple[int, int]]:
    """The ranks of the rows by their places; empty if fewer than two can be ranked."""
    places = [p for p, (entry, row) in enumerate(rows) if level in row.scores and not entry.unranked]
    if len(places) < 2:
        return {}
    tested = dict(_tested([rows[place] for place in places], level, pairs))
    return dict(zip(places, rank_intervals(len(places), tested), strict=True))


def _tested(
    rows: Sequence[tuple[BoardEntry, LevelRow]], level: str, pairs: _Pairs
) -> Iterator[tuple[tuple[int, int], float]]:
    for i, j in combinations(range(len(rows)), 2):
        p = pairs.not_better(rows[i], rows[j], level)
        if p is not None:
            yield from (((i, j), p), ((j, i), 1 - p))
