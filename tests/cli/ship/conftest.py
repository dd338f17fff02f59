"""A cache of real entries, a bundle of them, and another cache that is empty."""

import os

import pytest

from ingot.runtime import compiler
from ingot.runtime.cache import Cache, layer
from tests.support.bundles import LEVELS
from tests.support.cli import run
from tests.support.prebuilt import make_graph


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """(name -> key, key -> bytes) of real entries: two functions for this CPU, one for the lowest level, the worker pool."""
    folder = tmp_path_factory.mktemp("made")
    os.chmod(folder, 0o700)
    patch = pytest.MonkeyPatch()
    patch.setenv("INGOT_CACHE_DIR", str(folder / "cache"))
    for name in ("INGOT_CACHE_PATH", "INGOT_CPU_LEVEL"):
        patch.delenv(name, raising=False)
    try:
        arch = os.uname().machine
        lowest = next(n for n, level in LEVELS.items() if level.triple.startswith(arch))
        keys = {
            "double": compiler.code_of(make_graph(2.0, 16, "double")).key,
            "triple": compiler.code_of(make_graph(3.0, 16, "triple")).key,
            "old": compiler.code_of(make_graph(2.0, 16, "old"), LEVELS[lowest]).key,
        }
        compiler.pool_code()
        listed = list(layer.Layer(str(folder / "cache"), True).list())
    finally:
        patch.undo()
    (keys["pool"],) = {e.key for e in listed} - set(keys.values())
    data = {}
    for e in listed:
        with open(e.path, "rb") as f:
            data[e.key] = f.read()
    return keys, data, lowest


@pytest.fixture
def keys(made):
    return made[0]


@pytest.fixture
def data(made):
    return made[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A private folder; the cache is its `cache`, and empty."""
    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("INGOT_CACHE_PATH", "INGOT_CACHE_TRUST", "INGOT_CACHE_KEYS", "INGOT_CACHE_DIGESTS", "INGOT_CPU_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def cache(home, data):
    """The cache with all entries in it."""
    found = Cache(str(home / "cache"))
    for key, d in data.items():
        found.put(key, d, 5.0)
    found.set_note("toolchain", {"0.1": "1.0"})
    return found


@pytest.fixture
def other(home):
    """The folder of another, empty cache."""
    return layer.Layer(str(home / "other"), True)


@pytest.fixture
def tar(capsys, cache, home):
    assert run(capsys, "cache", "export", str(home / "x.tar"))[0] == 0
    return home / "x.tar"
