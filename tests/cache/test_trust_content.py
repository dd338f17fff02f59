"""Trust by content: a store that anybody may write, and entries known by a list of digests or by signatures. What both rules promise."""

import os
import warnings

import pytest

from ingot.runtime import compiler, log
from ingot.runtime.cache import Cache, layer
from tests.support.stores import OTHER, RULES, publish, read, refused


@pytest.mark.parametrize("rule", RULES)
def test_an_approved_entry_is_found_in_a_folder_of_anybody_and_used_from_memory(store, entry, rule):
    key, data = entry
    cache = store.cache()
    assert refused(cache, key, "belongs to user" if os.geteuid() == 0 else "can be written by others")  # under `own`
    store.approve(rule, key, data)
    before = len(os.listdir("/proc/self/fd"))
    found = cache.lookup(key)
    assert found.source == "shared" and found.fd is None and data.startswith(bytes(found.entry.code))
    assert len(os.listdir("/proc/self/fd")) == before
    found.close()
    assert [e.key for e in cache.shared[0].list()] == [key]


@pytest.mark.parametrize("rule", RULES)
def test_every_changed_byte_is_refused(store, entry, rule):
    key, data = entry
    store.approve(rule, key, data)
    cache = store.cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(0, len(data), 7):
            store.add(key, data[:i] + bytes((data[i] ^ 1,)) + data[i + 1 :])
            assert read(cache, key) is None
        for end in (0, 1, len(data) - 1):
            store.add(key, data[:end])
            assert read(cache, key) is None
        store.add(key, data + b"\0")
        assert read(cache, key) is None
    assert set(cache.counts) == {"miss.untrusted"}
    store.add(key, data)
    assert read(cache, key) is not None


@pytest.mark.parametrize("rule", RULES)
def test_an_approved_entry_under_another_name_is_no_entry(store, entry, make_entry, rule):
    """The file is trusted, and says that it is of another key."""
    key, data = entry
    other = make_entry(2)[0]
    store.approve(rule, key, data)
    store.add(other, data)
    if rule == "signed":
        publish(store.path(other, ".sig"), store.path(key, ".sig").read_bytes())
    cache = store.cache()
    with pytest.warns(log.IngotWarning, match=f"it is the entry of {key[:12]}.*left there"):
        assert read(cache, other) is None
    assert cache.counts == {"miss.damaged": 1} and store.path(other).exists()


@pytest.mark.parametrize("rule", RULES)
def test_what_is_absent_is_absent(store, entry, make_entry, rule):
    store.approve(rule, *entry)
    cache = store.cache()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(cache, make_entry(2)[0]) is None
        assert Cache(None, (str(store.folder) + "-not",)).lookup(entry[0]) is None
    assert cache.counts == {"miss.absent": 1}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder", "huge"])
def test_what_an_attacker_may_put_in_place_of_an_entry(store, entry, rule, kind, monkeypatch):
    key, data = entry
    store.approve(rule, key, data)
    path, match = store.path(key), "is not a regular file"
    os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        os.symlink("/dev/zero", path)
        match = "is a symlink"
    elif kind == "folder":
        os.mkdir(path)
    else:
        match = "more than an entry may have"
        with open(path, "wb") as f:
            os.truncate(f.fileno(), (1 << 30) + 1)  # a hole: it takes no room
        monkeypatch.setattr(layer, "_read", lambda fd, size: pytest.fail("it was read"))
    assert refused(store.cache(), key, match)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("after", ["rewritten", "replaced", "truncated", "removed"])
def test_what_runs_is_what_was_verified_whatever_becomes_of_the_file(store, rule, after, monkeypatch):
    """The file is exchanged the moment it was read, before anything of it is verified or mapped."""
    from ingot.runtime.cache.layer import _read
    from tests.support import prebuilt

    good, bad = prebuilt.entries()[:2]
    compiler.executable(prebuilt.make_graph(good.scale))  # for its worker pool
    path = store.add(good.key, good.data)
    store.approve(rule, good.key, good.data)

    def read_then_attack(fd, size):
        data = _read(fd, size)
        if len(data) > 64:
            if after == "rewritten":
                path.write_bytes(bad.data)
            elif after == "replaced":
                publish(path, bad.data)
            elif after == "truncated":
                os.truncate(path, 100)
            else:
                os.unlink(path)
        return data

    monkeypatch.setattr(layer, "_read", read_then_attack)
    found = store.cache().lookup(good.key)
    assert found is not None and (not path.exists() or path.read_bytes() != good.data)
    prebuilt.run_found(found, good.scale)


@pytest.mark.parametrize("rule", RULES)
def test_the_compiler_uses_what_is_approved_and_compiles_what_is_not(store, tmp_path, monkeypatch, rule):
    from tests.support import prebuilt

    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "publisher"))
    monkeypatch.delenv("INGOT_CACHE_PATH", raising=False)
    graphs = {scale: prebuilt.make_graph(scale) for scale in (31.0, 32.0)}
    keys = {scale: compiler.code_of(g).key for scale, g in graphs.items()}
    compiler.pool_code()
    for e in Cache(str(tmp_path / "home" / "publisher")).own.list():
        with open(e.path, "rb") as f:
            data = f.read()
        store.add(e.key, data)
        if e.key != keys[32.0]:
            store.approve(rule, e.key, data)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "consumer"))
    monkeypatch.setenv("INGOT_CACHE_PATH", str(store.folder))
    monkeypatch.setattr(compiler, "_executables", {})
    before = compiler.counts.copy()
    prebuilt.run(compiler.executable(graphs[31.0]), 31.0)
    with pytest.warns(log.IngotWarning, match=f"{keys[32.0][:12]} is not used"):
        prebuilt.run(compiler.executable(graphs[32.0]), 32.0)
    assert compiler.counts["cache"] - before["cache"] == 1 and compiler.counts["compiled"] - before["compiled"] == 1


def test_of_a_store_that_anybody_may_write_only_entries_are_believed(store, entry):
    store.approve("digest-list", *entry)
    (store.folder / "toolchain.json").write_text('{"0.50.0": "99"}\n')
    assert store.cache().note("toolchain") == {}
    os.unlink(store.folder / "toolchain.json")
    os.mkfifo(store.folder / "toolchain.json")
    assert store.cache().note("toolchain") == {}  # and nobody waits for it


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("how", ["group", "folder", "symlink", "hard link", "fifo", "owner", "folder's owner"])
def test_the_list_and_the_keys_are_under_the_rule_own(store, entry, rule, how):
    store.approve(rule, *entry)
    source = store.digests if rule == "digest-list" else store.keys
    if "owner" in how and os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    match = {
        "group": "can be written by others", "folder": "trusted can be written by others", "symlink": "is a symlink",
        "hard link": "has 2 hard links", "fifo": "is not a regular file",
    }.get(how, f"belongs to user {OTHER}")  # fmt: skip
    if how == "group":
        os.chmod(source, 0o664)
    elif how == "folder":
        os.chmod(source.parent, 0o777)
    elif how == "symlink":
        os.rename(source, source.with_suffix(".moved"))
        os.symlink(source.with_suffix(".moved"), source)
    elif how == "hard link":
        os.link(source, source.with_suffix(".other"))
    elif how == "fifo":
        os.unlink(source)
        os.mkfifo(source)
    else:
        os.chown(source if how == "owner" else source.parent, OTHER, OTHER)
    assert refused(store.cache(), entry[0], match)


def test_an_explanation_does_not_wait_for_what_is_no_file(store, entry):
    from ingot.runtime.cache import explain

    store.approve("digest-list", *entry)
    shared = store.cache().shared[0]
    (listed,) = shared.list()
    assert explain._preimage(shared, listed) == {"n": 1}
    os.unlink(listed.path)
    os.mkfifo(listed.path)
    assert explain._preimage(shared, listed) is None
