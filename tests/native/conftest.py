import pytest

from ingot.runtime import threads


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory):
    """The worker pool's code is compiled into a cache of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def nthreads():
    """threads.set_num_threads, undone after the test."""
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)
