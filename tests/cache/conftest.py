import hashlib

import pytest

from ingot.runtime import log
from ingot.runtime.cache import Cache, entry, trust
from tests.support.stores import Store


@pytest.fixture(autouse=True)
def fresh_warnings(monkeypatch):
    monkeypatch.setattr(log, "_warned", set())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home" / "cache"


@pytest.fixture
def cache(folder):
    return Cache(str(folder))


def _make_entry(n=0, code_bytes=100):
    """(key, bytes) of a small entry."""
    preimage = b'{"n":%d}' % n
    key = hashlib.sha256(preimage).hexdigest()
    code = b"\x7fELF" + bytes((n + i) % 251 for i in range(code_bytes))
    return key, entry.pack(key, code, {"compile_ms": 5, "n": n}, {"compile_ms": 5, "name": f"f{n}"}, preimage, {"graph": "func"})


@pytest.fixture(scope="session")
def make_entry():
    return _make_entry


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "_loaded", {})
    return Store(tmp_path, monkeypatch)


@pytest.fixture(name="entry")
def _entry(store, make_entry):
    key, data = make_entry(1)
    store.add(key, data)
    return key, data
