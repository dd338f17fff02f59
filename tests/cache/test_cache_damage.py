"""Whatever happened to the files of a cache, and whatever the system says: a right result, at most one warning, no hang.

Entries first, byte by byte; then what stands in their places and beside them; then errors at each system call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import warnings

import pytest

from ingot.runtime import compiler, log
from ingot.runtime.cache import Cache, account, entry
from ingot.runtime.cache.entry import EntryError
from tests.support import prebuilt
from tests.support.child import in_child
from tests.support.faults import trace, watched
from tests.support.scenarios import STEPS, prepared

MASKS = (0x01, 0x80)


@contextlib.contextmanager
def told():
    """The warnings of the block, each of them given anew."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        log._warned.clear()
        yield seen


def write(path, data):
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as f:
        f.write(data)


# -- an entry's bytes --------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_noticed(make_entry):
    key, data = make_entry(code_bytes=40)
    for i in range(len(data)):
        for mask in MASKS:
            bad = bytearray(data)
            bad[i] ^= mask
            with pytest.raises(EntryError):
                entry.parse(bytes(bad), key)


def test_every_truncation_is_noticed(make_entry):
    key, data = make_entry(code_bytes=40)
    for n in range(len(data)):
        with pytest.raises(EntryError):
            entry.parse(data[:n], key)
    with pytest.raises(EntryError):
        entry.parse(data + b"\0", key)


def refuse(cache, e, bad, what):
    """A damaged entry is a miss with one warning, set aside, and nothing stands in the way of a new one."""
    path = cache.own.path(e.key)
    write(path, bad)
    before = cache.counts["miss.damaged"]
    with told() as seen:
        assert cache.lookup(e.key) is None and cache.counts["miss.damaged"] == before + 1, what
        assert [w.category for w in seen] == [log.IngotWarning] and "damaged" in str(seen[0].message), what
        assert not os.path.exists(path) and cache.counts["miss.absent"] == 0, what
        write(path, e.data)  # as a put does
        prebuilt.run_found(cache.lookup(e.key), e.scale)
        assert len(seen) == 1, what


def test_flipped_bytes_of_real_code(cache, folder, long):
    e = prebuilt.entries()[0]
    cache.put(e.key, e.data, 5.0)
    n = len(e.data)
    places = range(n) if long else [*range(0, n, 211), *range(n - entry._FOOTER.size, n, 7), n - 1]
    for i in places:
        for mask in MASKS if long else MASKS[i % 2 :][:1]:
            bad = bytearray(e.data)
            bad[i] ^= mask
            refuse(cache, e, bytes(bad), f"byte {i} ^ {mask}")
    assert len(os.listdir(folder / "quarantine")) == 16


def test_truncated_and_overlong_real_code(cache, long):
    e, other = prebuilt.entries()[:2]
    cache.put(e.key, e.data, 5.0)
    n = len(e.data)
    for length in range(n) if long else [*range(0, n, 307), 1, 4095, 4096, 8192, n - entry._FOOTER.size, n - 1]:
        refuse(cache, e, e.data[:length], f"{length} bytes")
    tails = {"a byte": b"\0", "a page": bytes(4096), "itself": e.data, "another entry": other.data}
    tails["its footer"] = e.data[-entry._FOOTER.size :]
    for what, tail in tails.items():
        refuse(cache, e, e.data + tail, f"followed by {what}")
    for what, head in tails.items():
        refuse(cache, e, head + e.data, f"behind {what}")
    refuse(cache, e, other.data, "another entry")


def test_a_huge_file_in_the_place_of_an_entry(cache):
    """Refused by its length: nothing of that size is read."""
    e = prebuilt.entries()[0]
    cache.put(e.key, e.data, 5.0)
    os.truncate(cache.own.path(e.key), 1 << 40)
    with told() as seen:
        assert in_child(lambda: cache.lookup(e.key) is None)
        assert cache.lookup(e.key) is None
    assert len(seen) <= 1


def test_the_next_compile_works(folder, monkeypatch, long):
    monkeypatch.setenv("INGOT_CACHE_DIR", str(folder))
    graph = prebuilt.make_graph(50.0)
    code = compiler.code_of(graph)
    path = Cache(str(folder)).own.path(code.key)
    with open(path, "rb") as f:
        data = f.read()
    for i in range(0, len(data), len(data) // (200 if long else 5)):
        monkeypatch.setattr(compiler, "_executables", {})
        compiler.counts.clear()
        write(path, data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :])
        with told() as seen:
            prebuilt.run(compiler.executable(graph), 50.0)
        assert len(seen) == 1 and compiler.counts["compiled"] == 1
        monkeypatch.setattr(compiler, "_executables", {})
        prebuilt.run(compiler.executable(graph), 50.0)
        assert compiler.counts["cache"] == 1


def test_the_quarantine_is_bounded(cache, folder, make_entry):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(20):
            key, data = make_entry(n)
            cache.put(key, data[:-1], 1.0)
            assert cache.lookup(key) is None
    assert len(os.listdir(folder / "quarantine")) == 16


@pytest.mark.parametrize("change", ["truncate", "flip", "grow", "replace", "unlink"])
def test_a_file_that_changes_while_it_is_read(cache, change):
    """Between any two calls of a lookup: a miss, or the whole entry. (What is written over it later, nobody can notice.)"""
    e, other = prebuilt.entries()[:2]
    path = cache.own.path(e.key)
    write(path, e.data)
    calls = trace(str(cache.own.folder), lambda: cache.lookup(e.key).close())
    assert "read" in calls
    hits = 0
    for n in range(len(calls)):
        write(path, e.data)
        count = 0

        def hook(name, call, n=n):
            nonlocal count
            if count == n:
                if change == "replace":
                    write(path, other.data)
                elif change == "unlink":
                    os.unlink(path)
                else:
                    with open(path, "r+b") as f:
                        if change == "truncate":
                            f.truncate(5000)
                        elif change == "flip":
                            f.seek(5000)
                            f.write(b"\xff\x00\xff")
                        else:
                            f.seek(0, 2)
                            f.write(b"more")
            count += 1
            return call()

        with told() as seen:
            with watched(cache.own.folder, hook):
                found = cache.lookup(e.key)
            if found is not None:
                hits += 1
                assert bytes(found.entry.code) == e.data[: len(found.entry.code)] and found.entry.key == e.key
                found.close()
            assert len(seen) <= 1
    assert hits or change != "replace"


# -- what stands in the place of things --------------------------------------------------------------------------------

KINDS = {
    "nothing": lambda path: None,
    "empty file": lambda path: write(path, b""),
    "noise": lambda path: write(path, os.urandom(3000)),
    "zeros": lambda path: write(path, bytes(4800)),
    "lines of noise": lambda path: write(path, b'\xff\xfe{"half":\n[1]\nnull\n{"key": 3, "put": "x", "time": {}}\n{}\n' + b"[" * 5000),
    "huge file": lambda path: (write(path, b""), os.truncate(path, 1 << 33)),
    "folder": lambda path: os.makedirs(path, 0o700),
    "full folder": lambda path: os.makedirs(os.path.join(path, "x", "y"), 0o700),
    "dangling link": lambda path: os.symlink("/nowhere/at/all", path),
    "link to itself": lambda path: os.symlink(path, path),
    "link to a device": lambda path: os.symlink("/dev/zero", path),
    "fifo": lambda path: os.mkfifo(path, 0o600),
    "socket": lambda path: bind(path),
    "device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),  # /dev/zero
    "mode 000": lambda path: (write(path, b"{}\n"), os.chmod(path, 0)),
}


def bind(path):
    at = os.open(os.path.dirname(path), os.O_RDONLY)  # its own path may be too long for an address
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"/proc/self/fd/{at}/{os.path.basename(path)}")
    os.close(at)


def clear(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def live(folder):
    """A day in the life of a cache: right numbers from all of it. The warnings that came."""
    with told() as seen:
        os.environ["INGOT_CACHE_DIR"] = folder
        compiler._executables.clear()
        for cache in (Cache(folder), Cache(folder)):
            for e in prebuilt.entries()[:3]:
                prebuilt.use(cache, e, claim=True)
                cache.record_miss(e.key, {"name": "f"}, b'{"text":"t"}')
            cache.set_note("toolchain", {**cache.note("toolchain"), "1.0": "22"})
            cache.save_counts()
        for _ in range(2):
            prebuilt.run(compiler.executable(prebuilt.make_graph(77.0)), 77.0)
            compiler._executables.clear()
        Cache(folder, max_entries=2).put(prebuilt.entries()[0].key, prebuilt.entries()[0].data, 5.0)
        list(Cache(folder).own.list())
    return [str(w.message) for w in seen]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A cache that was used."""
    top = tmp_path_factory.mktemp("lived")
    prebuilt.entries()
    prebuilt.run(compiler.executable(prebuilt.make_graph(76.0)), 76.0)  # the compiler is imported, the pool's code made
    assert in_child(lambda: live(str(top / "cache"))) == []
    return str(top / "cache")


@pytest.fixture
def home(lived, tmp_path, monkeypatch):
    """A copy of a cache that was used."""
    monkeypatch.setenv("INGOT_CACHE_WAIT", "0.05")
    folder = str(tmp_path / "cache")
    shutil.copytree(lived, folder)
    yield folder
    for at, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(at, name), 0o700)


ENTRY = "v1/SHARD/ENTRY"
BESIDE = ("account", "misses.jsonl", "stats.jsonl", "toolchain.json", "warmed.jsonl", "quarantine", "v1/SHARD/CLAIM")
AROUND = ("v1", "v1/SHARD")


def pytest_generate_tests(metafunc):
    """The long form takes each place alone; the short one all that do not stand in each other's way at once."""
    if "places" not in metafunc.fixturenames:
        return
    if metafunc.config.getoption("--long"):
        cases = [(kind, (place,)) for kind in KINDS for place in (*BESIDE, ENTRY, *AROUND)]
    else:
        cases = [(kind, (*BESIDE, ENTRY)) for kind in KINDS]
        cases += [(kind, (place,)) for kind in ("nothing", "empty file", "dangling link", "mode 000") for place in AROUND]
    params = [pytest.param(*case, id=f"{case[0]}-{case[1][0] if len(case[1]) == 1 else 'all'}") for case in cases]
    metafunc.parametrize("kind, places", params)


def test_in_the_place_of_a_file(home, kind, places):
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("only root makes device nodes")
    key = prebuilt.entries()[0].key
    for place in places:
        path = os.path.join(home, place.replace("SHARD", key[:2]).replace("ENTRY", key + ".so").replace("CLAIM", f".{key}.claim"))
        clear(path)
        KINDS[kind](path)
    seen = in_child(lambda: live(home), seconds=20, bound=True)
    assert len(seen) <= 1, seen


def test_names_that_are_no_keys(cache, capsys):
    """They are never entries, and no command trips over them."""
    from ingot.runtime.cli import main

    e = prebuilt.entries()[0]
    cache.put(e.key, e.data, 5.0)
    v1 = os.path.dirname(os.path.dirname(cache.own.path(e.key)))
    names = [b"x.so", b"\xff\xfe.so", b"a" * 64 + b".so.bak", b"Z" * 64 + b".so", e.key.upper().encode() + b".so", b"\xff" * 64 + b".so"]
    names += [b"0" * 63 + b"\n.so", b".so", b"0" * 63 + b".so", b"-rf", b"\x1b[31m" + b"0" * 59 + b".so"]
    for at in (os.fsencode(v1), os.fsencode(os.path.dirname(cache.own.path(e.key))), os.fsencode(cache.own.folder)):
        for name in names:
            with open(os.path.join(at, name), "wb") as f:
                f.write(e.data)
    for name in (b"\xff\xfe", b"x", b"g" * 64):
        os.mkdir(os.path.join(os.fsencode(v1), name))
    assert [listed.key for listed in cache.own.list()] == [e.key]
    with told() as seen:
        for argv in (["ls"], ["ls", "--json"], ["info"], ["verify", "--deep"], ["prune", "--max-size", "1TiB", "--yes"], ["stats"]):
            assert main(["cache", argv[0], "--dir", cache.own.folder, *argv[1:]]) == 0, argv
        Cache(cache.own.folder, max_entries=1).put(prebuilt.entries()[1].key, prebuilt.entries()[1].data, 5.0)
        assert main(["cache", "clear", "--yes", "--dir", cache.own.folder]) == 0
    capsys.readouterr()
    assert not seen and list(cache.own.list()) == []
    assert sorted(os.listdir(os.fsencode(v1)))[-1] == b"\xff" * 64 + b".so"  # and what is not ours stays


# -- errors at system calls --------------------------------------------------------------------------------------------

ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EACCES, errno.ENOENT)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_errors_at_any_system_call(tmp_path, monkeypatch, name, lasting, long):
    """The step ends well, with one warning at most; the next process finds a cache that works, without temporaries.

    The long form takes every error at every call, the short one an error at every second or third.
    """
    monkeypatch.setenv("INGOT_CACHE_WAIT", "0.01")
    _, work = STEPS[name]
    (tmp_path / "home").mkdir(mode=0o700)
    folder = prepared(name, str(tmp_path / "home"))
    with told():
        calls = trace(folder, lambda: work(folder))
    due = name == "set_aside_and_rebuild"  # a warning of its own
    cases = [(n, code) for n in range(0, len(calls), 1 if long else 2 + lasting) for code in (ERRORS if long else (ERRORS[n % 7],))]
    for n, code in cases:
        if lasting and code == errno.EINTR:  # nothing says so for ever: a buffered file tries again until it does not
            continue
        folder = prepared(name, str(tmp_path / "home"))
        failed, before = [], []

        def hook(name, call, n=n, code=code, failed=failed, before=before):
            if len(before) < n or (failed and not lasting):
                before.append(name)
                return call()
            if name == "close":  # closed all the same, as by Linux
                call()
            failed.append(name)
            raise OSError(code, os.strerror(code))

        where = f"{errno.errorcode[code]} at call {n}, {calls[n]}, of {' '.join(calls)}"
        with told() as seen:
            with watched(folder, hook):
                try:
                    work(folder)
                except BaseException as e:
                    raise AssertionError(f"{where}: {e!r}") from None
            assert failed, where
            assert len(seen) <= 1 + due, (where, [str(w.message) for w in seen])
        left = [f for _, _, names in os.walk(folder) for f in names if f.endswith((".tmp", ".claim"))]
        assert not left or lasting or "unlink" in failed, (where, left)
        with told() as seen:
            cache = Cache(folder)
            for _ in range(2):
                for e in prebuilt.entries()[:2]:
                    prebuilt.use(cache, e)
            cache.save_counts()
            assert len(seen) <= due, (where, [str(w.message) for w in seen])


def test_a_folder_that_can_never_be_made():
    """In /proc no folder can be made, and its mkdir says ENOENT for whatever one asks."""
    e = prebuilt.entries()[0]
    cache = Cache("/proc/ingot/cache")
    endless = False
    with told() as seen:
        try:
            assert not prebuilt.use(cache, e) and prebuilt.use(cache, e)
        except RecursionError:  # with a thousand more in its context, which take minutes to print
            endless = True
    assert not endless and len(seen) == 1


def test_another_process_makes_the_folder_first(tmp_path, monkeypatch):
    """Right after this one has found that the folder above is missing."""
    e = prebuilt.entries()[0]
    mkdir, above = os.mkdir, tmp_path / "cache"

    def slower(path, mode=0o777):
        try:
            mkdir(path, mode)
        except FileNotFoundError:
            mkdir(above, 0o700)
            raise

    monkeypatch.setattr(os, "mkdir", slower)
    with told() as seen:
        assert not prebuilt.use(Cache(str(above)), e) and prebuilt.use(Cache(str(above)), e)
    assert not seen


@pytest.mark.parametrize("name", ["hit", "set_aside_and_rebuild"])
def test_an_error_from_close(tmp_path, name):
    """As FUSE and network file systems may give it, even for files that are only read."""
    _, work = STEPS[name]
    (tmp_path / "home").mkdir(mode=0o700)
    folder = prepared(name, str(tmp_path / "home"))

    def hook(name, call):
        result = call()
        if name == "close":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return result

    with told(), watched(folder, hook):
        work(folder)


def test_statistics_that_cannot_be_kept(cache):
    cache.put(prebuilt.entries()[0].key, prebuilt.entries()[0].data, 5.0)
    os.symlink("/nowhere/at/all", os.path.join(cache.own.folder, "stats.jsonl"))
    cache.save_counts()


def test_a_claim_that_cannot_be_written(cache):
    """On a full disk nobody shall wait for a claim that says nothing."""
    e = prebuilt.entries()[0]
    cache.put(e.key, e.data, 5.0)
    cache.own.remove(e.key)

    def hook(name, call):
        if name == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call()

    with watched(cache.own.folder, hook), cache.claimed(e.key):
        pass
    assert os.listdir(os.path.dirname(cache.own.path(e.key))) == []


def test_an_account_that_another_process_rewrites(cache, make_entry):
    for n in range(5):
        cache.put(*make_entry(n, 100), 5.0)

    def others():
        other = Cache(cache.own.folder)
        for listed in list(other.own.list())[:3]:
            other.own.remove(listed.key)
        for n in range(10, 20):
            other.put(*make_entry(n, 3000), 5.0)
        for _ in range(2):  # the second file gets the number that the first one gives up
            account.evict(other.own, 1 << 60, 1 << 60)

    account.total(cache.own)
    in_child(others)
    listed = list(cache.own.list())
    assert account.total(cache.own) == (sum(e.size for e in listed), len(listed))
