"""The garbage collector is off in a block that makes many objects, and then as it was before."""

from __future__ import annotations

import gc

import pytest

from mmdbench.system.collection import uncollected


@pytest.fixture(params=[True, False], ids=["on", "off"])
def before(request):
    """The collector switched on or off."""
    enabled = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if enabled else gc.disable)()


def test_the_collector_is_as_it_was_after_a_block(before):
    with uncollected():
        assert not gc.isenabled()
        with uncollected():  # as a function that loads calls another one
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == before


def test_the_collector_is_as_it_was_after_an_error(before):
    with pytest.raises(ValueError, match="broken"), uncollected():
        raise ValueError("broken")
    assert gc.isenabled() == before


def test_a_function_that_is_decorated_runs_without_the_collector(before):
    @uncollected()
    def load():
        return gc.isenabled()

    assert [load(), load()] == [False, False]
    assert gc.isenabled() == before
