"""The garbage collector is put back as it was, whatever threads, errors and forks happen meanwhile."""

import gc
import os

import pytest

from ingot.runtime.collector import paused


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


def test_a_child_collects_though_another_thread_was_compiling():
    assert gc.isenabled()
    with paused():
        child = os.fork()
        if not child:
            os._exit(gc.isenabled())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert gc.isenabled()
