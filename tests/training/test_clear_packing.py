"""Packs of CLEAR's supervised training: their sizes, their order, and their place in the data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: train)")

from mmdbench.errors import DataError, UsageError
from mmdbench.training.clear.masks import attention_mask
from mmdbench.training.clear.packing import PackStream, StreamPlace, seeded
from mmdbench.training.clear.profiles import (
    PAPER,
    REPO,
    DistillationSettings,
    DropSettings,
    OptimiserSettings,
    PackingSettings,
)
from mmdbench.training.clear.samples import SftSample
from mmdbench.training.clear.segments import (
    SequenceSegment,
    SftTexts,
    draw_drops,
    place_segments,
    sft_segments,
)

NOTHING = DropSettings(0, 0, 0)
SETTINGS = PackingSettings(expected_rows=100, max_rows=120, waiting=3, prefer_waiting_below=50)


def sample(group: str, number: int, rows: int) -> SftSample:
    text = SequenceSegment("answer", "text", tuple(range(rows - 2)), loss=True)
    return SftSample(f"{group}{number}", group, (text,), {})


def samples(direct: int = 7, generate: int = 5, rows: int = 20) -> dict[str, list[SftSample]]:
    counts = {"direct": direct, "generate": generate}
    return {group: [sample(group, n, rows + n) for n in range(count)] for group, count in counts.items()}


def stream(own=None, settings=SETTINGS, drops=NOTHING, place=StreamPlace()) -> PackStream:  # noqa: B008
    return PackStream(own or samples(), settings, drops, place)


def names(packs: PackStream, count: int) -> list[list[tuple[str, int]]]:
    return [[(d.group, d.row) for d in packs.next_pack()] for _ in range(count)]


def test_a_pack_begins_with_one_sample_of_each_group_and_keeps_to_the_limit():
    packs = stream()
    for _ in range(40):
        pack = packs.next_pack()
        assert {d.group for d in pack[:2]} == {"direct", "generate"}
        assert sum(d.rows for d in pack) <= SETTINGS.max_rows


def test_a_pack_ends_at_its_expected_rows():
    packs = stream(samples(rows=10), replace(SETTINGS, max_rows=200))
    for _ in range(20):
        rows = [d.rows for d in packs.next_pack()]
        assert sum(rows) >= SETTINGS.expected_rows
        assert sum(rows[:-1]) < SETTINGS.expected_rows


def test_a_sample_that_does_not_fit_waits_and_leads_a_later_pack():
    own = {"direct": [sample("direct", 0, 90)], "generate": [sample("generate", 0, 25)]}
    packs = stream(own)
    for _ in range(12):
        rows = [d.rows for d in packs.next_pack()]
        assert sum(rows) <= SETTINGS.max_rows
        waiting = packs.state()["waiting"]
        assert len(waiting) <= SETTINGS.waiting + 1
    drawn = packs.state()["drawn"]
    taken = drawn - len(waiting)
    assert taken > 20  # none is lost: what was drawn is in a pack or waits


def test_samples_near_the_limit_do_not_pile_up():
    own = {"direct": [sample("direct", 0, 110)], "generate": [sample("generate", 0, 110)]}
    packs = stream(own)
    found = Counter(d.group for _ in range(30) for d in packs.next_pack())
    assert sum(found.values()) == 30
    assert len(packs.state()["waiting"]) <= SETTINGS.waiting + 2
    assert min(found.values()) >= 10


def test_every_pass_over_a_group_takes_each_sample_once_in_a_new_order():
    packs = stream(samples(6, 6))
    drawn = [d.row for _ in range(200) for d in packs.next_pack() if d.group == "direct"]
    assert Counter(drawn[:60]).most_common()[-1][1] >= 8
    orders = {tuple(packs_order) for packs_order in zip(*[iter(drawn[:60])] * 6, strict=True)}
    assert len(orders) > 3


def test_groups_are_drawn_by_their_weights():
    packs = stream(settings=replace(SETTINGS, weights={"direct": 0.8, "generate": 0.2}))
    later = Counter(d.group for _ in range(150) for d in packs.next_pack()[2:])
    assert 0.7 < later["direct"] / sum(later.values()) < 0.9


def test_processes_take_other_samples_of_the_same_pass():
    own = samples(40, 40)
    first, second = (stream(own, place=StreamPlace(3, process, 2)) for process in (0, 1))
    rows = [
        {row for pack in names(packs, 5) for group, row in pack if group == "direct"}
        for packs in (first, second)
    ]
    assert rows[0]
    assert not rows[0] & rows[1]


def test_a_restored_stream_gives_the_packs_that_would_have_come():
    drops = DropSettings(0.2, 0.4, 0.1)
    whole, broken, resumed = (stream(samples(rows=40), drops=drops) for _ in range(3))
    expected = [whole.next_pack() for _ in range(30)]
    read = 0
    while not broken.state()["waiting"]:  # the hardest case: samples wait
        broken.next_pack()
        read += 1
    resumed.restore(broken.state())
    assert [resumed.next_pack() for _ in expected[read:]] == expected[read:] != []


def test_a_group_without_samples_is_refused():
    with pytest.raises(DataError, match="group generate"):
        stream({"direct": samples()["direct"]})
    with pytest.raises(DataError, match="more than 120 rows"):
        stream({"direct": [sample("direct", 0, 121)], "generate": samples()["generate"]})


def test_longer_samples_than_any_pack_are_left_out_and_counted():
    own = samples()
    own["direct"].append(sample("direct", 99, 500))
    packs = stream(own)
    assert packs.left_out == 1
    assert all(row < 7 for pack in names(packs, 30) for group, row in pack if group == "direct")


def test_drops_follow_their_probabilities_and_spare_the_noised_picture():
    segments = sft_segments(SftTexts((1,), (2,), (3,), (4,)), ((2, 2), (2, 2)), (2, 2))
    chance, found = seeded("test"), Counter()
    for _ in range(2000):
        found.update(s.name for s in draw_drops(segments, DropSettings(), chance) if s.dropped)
    assert found["noised"] == found["clean_vae"] == found["degraded_vae"] == 0
    assert all(0.07 < found[name] / 2000 < 0.13 for name in ("system", "question", "thought", "answer"))
    assert all(0.36 < found[name] / 2000 < 0.44 for name in ("degraded_vit", "clean_vit"))


def test_no_row_sees_a_later_text_another_sample_or_the_noised_picture():
    segments = sft_segments(SftTexts((1, 2), (3,), (4,), (5,)), ((2, 2), (1, 2)), (2, 2))
    placed = place_segments([segments, segments])
    mask = attention_mask(placed)
    for row in placed:
        for column in placed:
            part = mask[row.start : row.stop, column.start : column.stop]
            earlier = column.start < row.start
            if row is column:
                assert (
                    part.all()
                    if row.segment.kind != "text"
                    else part.equal(part.tril()) and part.diagonal().all()
                )
            elif row.sample != column.sample or not earlier or column.segment.kind == "vae_noised":
                assert not part.any()
            else:
                assert part.all()


def test_profiles_have_the_published_numbers():
    assert (PAPER.optimiser.learning_rate, PAPER.mse_weight, PAPER.distillation.weight) == (2e-5, 0.5, 0.1)
    assert (REPO.optimiser.learning_rate, REPO.optimiser.steps, REPO.optimiser.warmup_steps) == (
        1e-5,
        8000,
        500,
    )
    assert (REPO.mse_weight, REPO.distillation.weight, REPO.optimiser.weight_decay) == (1.0, 0.4, 0.01)
    assert PAPER.drops == REPO.drops == DropSettings(0.1, 0.4, 0.0)
    assert PAPER.packing == PackingSettings(30_000, 32_768, 50, 16_384)


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        lambda: DropSettings(text=1.5),
        lambda: PackingSettings(expected_rows=10, max_rows=5),
        lambda: PackingSettings(weights={"direct": 0.0}),
        lambda: DistillationSettings("cosine"),
        lambda: DistillationSettings(stride=0),
        lambda: OptimiserSettings(1e-5, accumulation=0),
        lambda: OptimiserSettings(1e-5, ema_decay=1.0),
    ):
        with pytest.raises(UsageError):
            wrong()
