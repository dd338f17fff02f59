import pytest

from ingot.runtime import threads


@pytest.fixture
def nthreads():
    """threads.set_num_threads, undone after the test."""
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)
