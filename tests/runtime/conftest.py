import pytest

from ingot.runtime import compiler, threads


@pytest.fixture(scope="session", autouse=True)
def pool():
    """The code of the worker pool is loaded, as the compiler and artifacts do."""
    threads.start_pool(compiler.pool_code())


@pytest.fixture
def nthreads():
    """threads.set_num_threads, undone after the test."""
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)
