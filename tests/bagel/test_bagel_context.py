"""Contexts share segments, and padded caches keep contexts separate."""

from __future__ import annotations

from clear_checkpoints import torch  # isort: skip

from mmdbench.bagel.context import EMPTY, CacheShape, KeyValues, Segment

SHAPE = CacheShape(2, 3, 4, torch.float32, torch.device("cpu"))


def segment(rows: int, seed: int) -> Segment:
    generator = torch.Generator().manual_seed(seed)
    size = (SHAPE.layers, SHAPE.kv_heads, rows, SHAPE.head_width)
    return Segment(torch.randn(size, generator=generator), torch.randn(size, generator=generator))


def test_a_longer_context_shares_the_shorter_one() -> None:
    short = EMPTY.extended(segment(5, 0), 5)
    left, right = short.extended(segment(2, 1), 7), short.extended(segment(3, 2), 6)
    assert left.segments[0] is right.segments[0] is short.segments[0]
    assert (short.length, left.length, right.length) == (5, 7, 8)
    assert (short.rope, left.rope, right.rope) == (5, 7, 6)


def test_gathered_contexts_lie_side_by_side() -> None:
    one = EMPTY.extended(segment(5, 0), 5).extended(segment(2, 1), 7)
    two = EMPTY.extended(segment(3, 2), 3)
    cache = KeyValues.gather([one, two], 4, SHAPE)
    assert cache.keys.shape == (2, 2, 3, 11, 4)
    assert torch.equal(cache.keys[:, 0, :, 5:7], one.segments[1].keys)
    assert torch.equal(cache.values[:, 1, :, :3], two.segments[0].values)
    assert not cache.values[:, 1, :, 3:].any()
    assert torch.equal(cache.segment(0, 5).keys, one.segments[1].keys)


def test_new_rows_go_behind_each_context_and_count_on_request() -> None:
    one, two = EMPTY.extended(segment(5, 0), 5), EMPTY.extended(segment(3, 1), 3)
    cache = KeyValues.gather([one, two], 2, SHAPE)
    new = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(3))
    place = cache.place(2, causal=False, group=1)
    cache.write(1, new, new, place)
    assert cache.lengths == [5, 3]
    cache.advance(2)
    assert torch.equal(cache.segment(0, 5).keys[1], new[0])
    assert torch.equal(cache.segment(1, 3).keys[1], new[1])
    assert torch.equal(cache.segment(0, 0).keys[1, :, :5], one.segments[0].keys[1])


def test_masks() -> None:
    one, two = EMPTY.extended(segment(4, 0), 4), EMPTY.extended(segment(2, 1), 2)
    ragged = KeyValues.gather([one, two], 2, SHAPE)
    full = ragged.place(2, causal=False, group=2)
    assert (full.mask, full.ends) == (None, (6, 4))
    single = ragged.place(1, causal=True, group=2).mask
    assert single.shape == (2, 1, 1, 5)
    assert single[1, 0, 0].tolist() == [True] * 3 + [False] * 2
    causal = ragged.place(2, causal=True, group=2).mask
    assert causal.shape == (2, 1, 4, 6)
    assert causal[0, 0, :, 4:].tolist() == [[True, False], [True, True]] * 2
    assert causal[1, 0, 0].tolist() == [True, True, True, False, False, False]
    alone = KeyValues.gather([one], 2, SHAPE)
    assert alone.place(2, causal=False, group=2).mask is None
    assert alone.place(1, causal=True, group=2).mask is None


def test_the_cache_grows_and_keeps_what_it_holds() -> None:
    one, two = EMPTY.extended(segment(4, 0), 4), EMPTY.extended(segment(2, 1), 2)
    cache = KeyValues.gather([one, two], 0, SHAPE)
    cache.place(3, causal=True, group=1)
    assert cache.keys.shape[3] >= 7
    assert torch.equal(cache.segment(0, 0).keys, one.segments[0].keys)
    kept = cache.keep([1])
    assert kept.lengths == [2]
    assert torch.equal(kept.segment(0, 0).values, two.segments[0].values)
