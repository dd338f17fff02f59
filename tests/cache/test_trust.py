"""Trust by owner: every component of the chain and every kind of file that somebody else could have written is refused.

Also what the three rules have in common: the environment chooses, a rule that lacks something refuses everything.
test_trust_content.py, _digests and _signatures have the rules that go by content.
"""

import os
import socket
import stat
import warnings

import pytest

from ingot.runtime import log, switches
from ingot.runtime.cache import Cache, trust
from ingot.runtime.cache.entry import peek
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cache.ownership import TrustError, check_folder, check_inside, open_checked
from tests.support.stores import OTHER, read

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture(autouse=True)
def no_rule(monkeypatch):
    for name in ("INGOT_CACHE_TRUST", "INGOT_CACHE_DIGESTS", "INGOT_CACHE_KEYS"):
        monkeypatch.delenv(name, raising=False)


def refused(cache, key, match):
    """The lookup misses, with one warning."""
    with pytest.warns(log.IngotWarning, match=match) as told:
        assert read(cache, key) is None
    assert len(told) == 1 and set(cache.counts) == {"miss.untrusted"}
    return True


@pytest.fixture
def stored(folder, make_entry):
    """(folder, key, path) of a cache with one entry."""
    key, data = make_entry(1)
    cache = Cache(str(folder))
    cache.put(key, data, 5.0)
    return folder, key, cache.own.path(key)


@pytest.fixture(params=["own", "shared"])
def opened(request, folder, tmp_path):
    """A function that opens the folder anew, as the writable layer or as a read-only one."""
    if request.param == "own":
        return lambda: Cache(str(folder))
    return lambda: Cache(None, (str(folder),))


# -- files -----------------------------------------------------------------------------------------------------------


def _fifo(path):
    os.unlink(path)
    os.mkfifo(path, 0o600)


def _socket(path):
    os.unlink(path)
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind("s")
        os.rename("s", os.path.basename(path))
    finally:
        os.chdir(here)


def _device(path):
    os.unlink(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which has no end
    except PermissionError:
        pytest.skip("only root outside of containers can make devices")


def _folder(path):
    os.unlink(path)
    os.mkdir(path, 0o700)


def _symlink(path):
    os.rename(path, path + ".moved")
    os.symlink(path + ".moved", path)


FILES = {
    "symlink": (_symlink, "is a symlink"),
    "hard link": (lambda path: os.link(path, path + ".other"), "has 2 hard links"),
    "group": (lambda path: os.chmod(path, 0o620), "can be written by others"),
    "everybody": (lambda path: os.chmod(path, 0o602), "can be written by others"),
    "fifo": (_fifo, "is not a regular file"),
    "socket": (_socket, "is not a regular file"),
    "device": (_device, "is not a regular file"),
    "folder": (_folder, "is not a regular file"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_refused(stored, opened, kind):
    _, key, path = stored
    change, match = FILES[kind]
    change(path)
    assert refused(opened(), key, match)
    with pytest.raises(TrustError, match=match):
        open_checked(path)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "socket", "folder"])
def test_listings_do_not_wait_for_what_is_no_file(stored, kind):
    _, _, path = stored
    FILES[kind][0](path)
    with pytest.raises(TrustError):
        peek(path)


@as_root
def test_files_of_another_user_are_refused(stored, opened):
    _, key, path = stored
    os.chown(path, OTHER, OTHER)
    assert refused(opened(), key, f"belongs to user {OTHER}")


def test_a_refusal_leaves_no_descriptor_open(stored, opened):
    _, key, path = stored
    os.chmod(path, 0o620)
    cache, before = opened(), len(os.listdir("/proc/self/fd"))
    with pytest.warns(log.IngotWarning):
        for _ in range(3):
            assert read(cache, key) is None
    assert len(os.listdir("/proc/self/fd")) == before
    os.chmod(path, 0o600)
    assert read(cache, key) is not None  # files are checked at every use


def test_the_verified_file_is_the_one_that_is_mapped(stored, opened, make_entry):
    """Whatever the name stands for a moment later, the descriptor is open on the bytes that were checked."""
    _, key, path = stored
    found = opened().lookup(key)
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(make_entry(2)[1])
    try:
        assert os.pread(found.fd, found.entry.size, 0) == make_entry(1)[1]
    finally:
        found.close()


# -- folders ---------------------------------------------------------------------------------------------------------


def components(folder, path):
    """The folders from the one above the cache down to the entry's."""
    return {
        "parent": os.path.dirname(folder),
        "cache": str(folder),
        "version": os.path.dirname(os.path.dirname(path)),
        "shard": os.path.dirname(path),
    }


@pytest.mark.parametrize("which", ["parent", "cache", "version", "shard"])
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_folders_that_others_can_write_are_refused(stored, opened, which, mode):
    folder, key, path = stored
    at = components(folder, path)[which]
    os.chmod(at, mode)
    cache = opened()
    if cache.own is None:
        assert refused(cache, key, f"{at} can be written by others")
    else:  # a folder of ours that is not used is told when something is put there
        assert read(cache, key) is None and cache.counts == {"miss.untrusted": 1}
        with pytest.warns(log.IngotWarning, match=f"in memory only: {at} can be written by others"):
            cache.put(*_another(key), 5.0)


def _another(key):
    return key[:2] + "0" * 62, b""


def said(cache, key, told):
    """The one warning that a refused folder costs: at the lookup of a shared layer, when something is put into ours."""
    if cache.own is None:
        assert len(told) == 1
        return str(told[0].message)
    assert not told
    with pytest.warns(log.IngotWarning, match="in memory only") as told:
        cache.put(*_another(key), 5.0)
    assert len(told) == 1
    return str(told[0].message)


@as_root
@pytest.mark.parametrize("which", ["parent", "cache", "version", "shard"])
def test_folders_of_another_user_are_refused(stored, opened, which):
    folder, key, path = stored
    at = components(folder, path)[which]
    os.chown(at, OTHER, OTHER)
    cache = opened()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert read(cache, key) is None
    assert cache.counts == {"miss.untrusted": 1}
    assert f"{at} belongs to user {OTHER}" in said(cache, key, told)


@pytest.mark.parametrize("which", ["cache", "version", "shard"])
def test_symlinks_in_place_of_folders_are_refused(stored, opened, which):
    folder, key, path = stored
    at = components(folder, path)[which]
    os.rename(at, at + ".moved")
    os.symlink(at + ".moved", at)
    cache = opened()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert read(cache, key) is None
    assert cache.counts == {"miss.untrusted": 1}
    assert f"{at} is a symlink" in said(cache, key, told)


def test_symlinks_of_ours_above_the_cache_are_resolved_and_what_they_lead_to_is_checked(stored, tmp_path):
    folder, key, _ = stored
    (tmp_path / "a").mkdir(mode=0o755)
    os.symlink("../home", tmp_path / "a" / "relative")
    os.symlink(str(tmp_path / "a"), tmp_path / "absolute")
    there = str(tmp_path / "absolute" / "relative" / "cache")
    assert read(Cache(there), key)[1] == "disk"
    os.chmod(tmp_path / "home", 0o777)
    assert refused(Cache(None, (there,)), key, f"{tmp_path}/home can be written by others")


@as_root
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_symlink_that_another_user_made_is_refused_anywhere_in_the_chain(tmp_path, depth):
    at, link = tmp_path / "real", None
    for i, name in enumerate("abc"):
        at = at / name
        at.mkdir(parents=True, mode=0o755)
        if i == depth:
            link = at.with_name(name + "-link")
            os.symlink(name, link)
            at = link
    check_folder(str(at) if depth < 2 else str(at.with_name("c")), own=True)
    os.lchown(link, OTHER, OTHER)
    if depth < 2:
        with pytest.raises(TrustError, match=f"{link} is a symlink that user {OTHER} made"):
            check_folder(str(at), own=True)
    else:
        with pytest.raises(TrustError, match=f"{link} is a symlink"):
            check_folder(str(at), own=True)


def test_symlinks_that_lead_nowhere_end(tmp_path):
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    with pytest.raises(OSError, match="Too many levels"):
        check_folder(str(tmp_path / "a" / "x"), own=True)
    os.symlink("nothing", tmp_path / "c")
    with pytest.raises(FileNotFoundError):
        check_folder(str(tmp_path / "c" / "x"), own=True)


def test_a_sticky_folder_may_stand_above_but_not_hold_entries(tmp_path, make_entry):
    """As /tmp: others can add to it, and neither remove nor rename what is ours."""
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    os.chmod(sticky, 0o1777)
    mine = sticky / "cache"
    mine.mkdir(mode=0o700)
    check_folder(str(mine), own=True)
    with pytest.raises(TrustError, match="can be written by others; use a folder in it"):
        check_folder(str(sticky), own=True)
    if os.geteuid() == 0:
        os.chown(mine, OTHER, OTHER)
        with pytest.raises(TrustError, match=f"belongs to user {OTHER}"):
            check_folder(str(mine), own=False)


def test_a_shared_folder_may_be_roots_the_own_one_may_not(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    check_folder("/usr", own=False)
    with pytest.raises(TrustError, match=f"/usr belongs to user 0, not to {OTHER}"):
        check_folder("/usr", own=True)


def test_what_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrustError, match="file is not a folder"):
        check_inside(str(tmp_path / "file"))
    with pytest.raises(TrustError, match="file is not a folder"):
        check_folder(str(tmp_path / "file"), own=True)


def test_a_refused_own_folder_costs_the_cache_and_one_warning(tmp_path, make_entry):
    top = tmp_path / "open"
    top.mkdir()
    os.chmod(top, 0o777)
    cache = Cache(str(top / "cache"))
    key, data = make_entry(1)
    with pytest.warns(log.IngotWarning, match="in memory only.*written by others") as told:
        cache.put(key, data, 5.0)
        cache.put(*make_entry(2), 5.0)
    assert len(told) == 1
    assert read(cache, key)[1] == "memory"


def test_a_new_cache_is_ours_alone_whatever_the_umask(tmp_path, make_entry):
    (tmp_path / "home").mkdir(mode=0o700)
    before = os.umask(0)
    try:
        cache = Cache(str(tmp_path / "home" / "new" / "cache"))
        key, data = make_entry(1)
        cache.put(key, data, 5.0)
    finally:
        os.umask(before)
    at = cache.own.path(key)
    assert os.stat(at).st_mode & 0o777 == 0o600
    while at != str(tmp_path / "home"):
        at = os.path.dirname(at)
        assert os.stat(at).st_mode & 0o777 == 0o700
    assert read(cache, key)[1] == "disk"


def test_a_failure_that_may_pass_is_not_remembered(stored, monkeypatch):
    folder, key, _ = stored
    layer = Layer(str(folder), False)
    with monkeypatch.context() as m:
        m.setattr(os, "lstat", lambda path: (_ for _ in ()).throw(OSError(116, "Stale file handle")))
        assert not layer.check() and "Stale" in layer.refused
    assert layer.check() and layer.refused is None


# -- which rule ------------------------------------------------------------------------------------------------------


def test_the_environment_chooses_the_rule_at_every_lookup(stored, tmp_path, monkeypatch, make_entry):
    import hashlib

    folder, key, _ = stored
    cache = Cache(None, (str(folder),))
    digests = tmp_path / "digests"
    digests.write_text(f"{hashlib.sha256(make_entry(1)[1]).hexdigest()}  anything\n")
    steps = [("own", "", True), ("digest-list", "", False), ("digest-list", str(digests), True), ("signed", "", False), ("own", "", True)]
    for rule, source, hit in steps:
        monkeypatch.setenv("INGOT_CACHE_TRUST", rule)
        monkeypatch.setenv("INGOT_CACHE_DIGESTS", source)
        cache.counts.clear()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert (read(cache, key) is not None) is hit, rule
        assert set(cache.counts) == ({"hit.shared", "saved_ms"} if hit else {"miss.untrusted"})
        assert len(told) == (not hit)
    os.chmod(folder, 0o777)
    assert read(cache, key) is not None  # one look per process: docs/trust.md
    assert refused(Cache(None, (str(folder),)), key, "written by others")


def test_a_folder_that_was_refused_serves_under_another_rule(stored, tmp_path, monkeypatch, make_entry):
    import hashlib

    folder, key, _ = stored
    os.chmod(folder, 0o777)
    cache = Cache(None, (str(folder),))
    assert refused(cache, key, "written by others")
    (tmp_path / "digests").write_text(f"{hashlib.sha256(make_entry(1)[1]).hexdigest()}  anything\n")
    monkeypatch.setenv("INGOT_CACHE_DIGESTS", str(tmp_path / "digests"))
    monkeypatch.setenv("INGOT_CACHE_TRUST", "digest-list")
    assert read(cache, key)[1] == "shared" and cache.shared[0].refused is None
    monkeypatch.setenv("INGOT_CACHE_TRUST", "own")
    assert read(cache, key) is None and cache.counts["miss.untrusted"] == 2


@pytest.mark.parametrize("rule, name", [("digest-list", "INGOT_CACHE_DIGESTS"), ("signed", "INGOT_CACHE_KEYS")])
def test_a_rule_without_its_file_refuses_everything_and_says_so_once(stored, make_entry, monkeypatch, rule, name):
    folder, key, _ = stored
    monkeypatch.setenv("INGOT_CACHE_TRUST", rule)
    cache = Cache(None, (str(folder), str(folder)))  # ours in every respect, and not used all the same
    with pytest.warns(log.IngotWarning, match=f"INGOT_CACHE_TRUST={rule} needs {name}, which is not set") as told:
        assert read(cache, key) is None and read(cache, make_entry(2)[0]) is None
    assert len(told) == 1 and cache.counts == {"miss.untrusted": 2}
    assert not list(cache.shared[0].list())
    with pytest.raises(TrustError, match=name):
        trust.policy().check(*make_entry(1))


def test_a_rule_that_is_none_is_an_error(stored, monkeypatch):
    folder, key, _ = stored
    for text in ("sined", ""):
        monkeypatch.setenv("INGOT_CACHE_TRUST", text)
        with pytest.raises(switches.SwitchError, match="INGOT_CACHE_TRUST: expected one of own, digest-list, signed"):
            Cache(None, (str(folder),)).lookup(key)


def test_the_own_layer_is_under_its_own_rule_whatever_the_policy(stored, monkeypatch):
    folder, key, path = stored
    monkeypatch.setenv("INGOT_CACHE_TRUST", "signed")
    assert read(Cache(str(folder)), key)[1] == "disk"
    os.chmod(path, 0o620)
    assert refused(Cache(str(folder)), key, "written by others")


def test_under_own_bytes_are_not_looked_at(make_entry):
    assert trust.policy().check(make_entry(1)[0], b"anything") is None
    assert not trust.policy().by_content and trust.policy().problem is None
