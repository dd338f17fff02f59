"""The garbage collector is put back as it was, whatever threads, errors and forks happen meanwhile."""

import gc
import os

import pytest

from ingot.runtime.collector import for_good, paused


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_does_afterwards_as_before(enabled):
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), paused(), paused():
            assert not gc.isenabled()
            1 // 0  # noqa: B018
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()


def test_what_is_made_for_good_counts_as_old():
    with for_good():
        made = [[i] for i in range(5000)]
    young = {id(x) for generation in (0, 1) for x in gc.get_objects(generation)}
    assert gc.isenabled() and not any(id(x) in young for x in made)
    with pytest.raises(ZeroDivisionError), for_good():
        1 // 0  # noqa: B018
    assert gc.isenabled()


def test_what_was_frozen_stays_so():
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with for_good():
            pass
        assert gc.get_freeze_count() > before / 2 > 0  # some of it ends meanwhile
    finally:
        gc.unfreeze()


def test_a_child_collects_though_another_thread_was_compiling():
    assert gc.isenabled()
    with paused():
        child = os.fork()
        if not child:
            os._exit(gc.isenabled())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert gc.isenabled()
