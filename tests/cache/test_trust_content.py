"""Trust by content: a store that anybody may write, and entries known by a list of digests or by Ed25519 signatures.

The tests of signatures are skipped where the package cryptography (extra `sign`) is missing.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import warnings

import pytest

from ingot.runtime import compiler, log
from ingot.runtime.cache import Cache, layer, signing, trust
from ingot.runtime.cache.ownership import TrustError

OTHER = 12345  # a user that is not us
HAVE = importlib.util.find_spec("cryptography") is not None
needs_cryptography = pytest.mark.skipif(not HAVE, reason="signatures need cryptography: pip install 'ingot[sign]'")
RULES = ["digest-list", pytest.param("signed", marks=needs_cryptography)]


def read(cache, key):
    found = cache.lookup(key)
    return None if found is None else bytes(found.entry.code)


def refused(cache, key, match):
    """The lookup misses, with one warning."""
    before = cache.counts["miss.untrusted"]
    with pytest.warns(log.IngotWarning, match=match) as told:
        assert read(cache, key) is None
    assert len(told) == 1 and cache.counts["miss.untrusted"] == before + 1
    return True


def publish(path, data):
    """Write a file as a careful publisher does: under another name first."""
    path = str(path)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)


class Store:
    """A store in a folder that anybody can write, and where the environment says what to trust of it."""

    def __init__(self, tmp_path, monkeypatch):
        self.folder = tmp_path / "open" / "store"
        self.digests = tmp_path / "trusted" / "digests.txt"
        self.keys = tmp_path / "trusted" / "keys.pem"
        self.digests.parent.mkdir(mode=0o755)
        self.set = monkeypatch.setenv
        self.set("INGOT_CACHE_DIGESTS", str(self.digests))
        self.set("INGOT_CACHE_KEYS", str(self.keys))
        self.name = str(tmp_path / "trusted" / "signer")
        self._listed = b""

    def add(self, key, data):
        """An entry, as somebody else may put it there."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for p in (path, path.parent, path.parent.parent, self.folder, self.folder.parent):
            os.chmod(p, 0o777)
            if os.geteuid() == 0:
                os.chown(p, OTHER, OTHER)
        return path

    def path(self, key, end=".so"):
        return self.folder / "v1" / key[:2] / (key + end)

    def approve(self, rule, key, data):
        """Have `data` trusted as the entry of `key`."""
        digest = hashlib.sha256(data).digest()
        self.set("INGOT_CACHE_TRUST", rule)
        if rule == "digest-list":
            self._listed += f"{digest.hex()}  v1/{key[:2]}/{key}.so\n".encode()
            publish(self.digests, self._listed)
        else:
            publish(self.path(key, ".sig"), signing.sign(self.private, digest))

    @property
    def private(self):
        if not os.path.exists(self.name + ".pem"):
            signing.new_key(self.name)
            os.rename(self.name + ".pub.pem", self.keys)
        return signing.private_key(self.name + ".pem")

    def cache(self):
        return Cache(None, (str(self.folder),))


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "_loaded", {})
    return Store(tmp_path, monkeypatch)


@pytest.fixture
def entry(store, make_entry):
    key, data = make_entry(1)
    store.add(key, data)
    return key, data


# -- both rules ------------------------------------------------------------------------------------------------------


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


# -- digest lists ----------------------------------------------------------------------------------------------------


def test_a_list_is_read_as_sha256sum_writes_it(store, entry):
    key, data = entry
    digest = hashlib.sha256(data).hexdigest()
    store.set("INGOT_CACHE_TRUST", "digest-list")
    lines = [f"{digest}  a", f"{digest} *a b", f"\\{digest}  a\\nb", f"{digest.upper()}  a", f"# comment\n\n{digest}  a\r", f"{digest}  a"]
    for text in lines:
        publish(store.digests, text.encode())
        assert read(store.cache(), key) is not None, text
    publish(store.digests, subprocess.run(["sha256sum", str(store.path(key))], capture_output=True, check=True).stdout)
    assert read(store.cache(), key) is not None


@pytest.mark.parametrize(
    "text, match",
    [
        (b"", "holds no digest"),
        (b"# nothing\n\n", "holds no digest"),
        (b"0" * 64 + b"\n", r"digests.txt:1: expected `SHA256  NAME`"),
        (b"0" * 64 + b"  a\n" + b"0" * 63 + b"g  b\n", r"digests.txt:2: expected `SHA256  NAME`"),
        (b"SHA256 (a) = " + b"0" * 64 + b"\n", "expected `SHA256  NAME`"),
        (b"\xff\x00" * 1000, "expected `SHA256  NAME`"),
        (b"0" * 40 + b"  a\n", "expected `SHA256  NAME`"),
    ],
)
def test_a_list_that_is_none_refuses_everything(store, entry, text, match):
    store.set("INGOT_CACHE_TRUST", "digest-list")
    publish(store.digests, text)
    assert refused(store.cache(), entry[0], f"INGOT_CACHE_DIGESTS: .*{match}")


def test_a_digest_that_is_not_listed(store, entry, make_entry):
    store.approve("digest-list", *make_entry(2))
    assert refused(store.cache(), entry[0], f"the SHA-256 of {entry[0][:12]}….so is not in {store.digests}")


def test_a_changed_list_counts_at_the_next_lookup(store, entry, make_entry):
    key, data = entry
    cache = store.cache()
    store.set("INGOT_CACHE_TRUST", "digest-list")
    assert refused(cache, key, "digests.txt cannot be read: No such file")
    store.approve("digest-list", key, data)
    assert read(cache, key) is not None
    publish(store.digests, f"{'0' * 64}  other\n".encode())
    assert refused(cache, key, "is not in")
    os.unlink(store.digests)
    log._warned.clear()
    assert refused(cache, key, "digests.txt cannot be read: No such file")


def test_a_list_is_read_once(store, entry, monkeypatch):
    store.approve("digest-list", *entry)
    cache = store.cache()
    assert read(cache, entry[0]) is not None
    monkeypatch.setattr(trust, "read_own", lambda *a: pytest.fail("it was read again"))
    assert read(cache, entry[0]) is not None


def test_a_list_that_is_too_long(store, entry, monkeypatch):
    store.approve("digest-list", *entry)
    monkeypatch.setattr(trust, "_LIST_LIMIT", 50)
    assert refused(store.cache(), entry[0], "has more than the 50 bytes that it may have")


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


# -- signatures ------------------------------------------------------------------------------------------------------


def other_key(tmp_path, kind):
    """PEM of a public key that is not Ed25519, or of something else altogether."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519

    private = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()), "x25519": x25519.X25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
    }.get(kind, ed25519.Ed25519PrivateKey.generate)()  # fmt: skip
    if kind == "private":
        return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    if kind == "encrypted":
        return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
    return private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


@needs_cryptography
def test_the_message_stays_as_it_is():
    """A signature of this version is one for ever (Ed25519 has one signature per key and message)."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    digest = hashlib.sha256(b"an entry").digest()
    assert signing.message(digest) == b"ingot cache entry 1\0" + digest
    assert signing.sign(private, digest).hex() == (
        "8975dfb6c4c08178e347dbf2e2023bd55d7caeb80fb64d7506f853bda77881d5"
        "6249881cd8bf0eac198cd2b7d145570d822b8b2e0c03f2a998a66dbe63ff390b"
    )


@needs_cryptography
@pytest.mark.parametrize(
    "signature, match",
    [
        (None, "has no signature"),
        (b"", "has 0 bytes, not 64"),
        (b"x" * 63, "has 63 bytes, not 64"),
        (b"x" * 65, "has more bytes, not 64"),
        (b"x" * 100_000, "has more bytes, not 64"),
        (b"x" * 64, "was not made over these bytes by a key in"),
    ],
)
def test_signatures_that_are_refused(store, entry, signature, match):
    key, data = entry
    store.approve("signed", key, data)
    os.unlink(store.path(key, ".sig"))
    if signature is not None:
        publish(store.path(key, ".sig"), signature)
    assert refused(store.cache(), key, match)


@needs_cryptography
@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder"])
def test_what_an_attacker_may_put_in_place_of_a_signature(store, entry, kind):
    key, data = entry
    store.approve("signed", key, data)
    path = store.path(key, ".sig")
    os.rename(path, store.folder / "good.sig")
    {"fifo": os.mkfifo, "folder": os.mkdir, "symlink": lambda p: os.symlink(store.folder / "good.sig", p)}[kind](path)
    assert refused(store.cache(), key, "is a symlink" if kind == "symlink" else "is not a regular file")


@needs_cryptography
def test_a_signature_of_another_entry_or_by_an_unknown_key_or_over_something_else(store, entry, make_entry, tmp_path):
    key, data = entry
    other, other_data = make_entry(2)
    store.add(other, other_data)
    store.approve("signed", key, data)
    store.approve("signed", other, other_data)
    cache, path = store.cache(), store.path(key, ".sig")
    good = path.read_bytes()
    publish(path, store.path(other, ".sig").read_bytes())
    assert refused(cache, key, "was not made over these bytes")
    digest = hashlib.sha256(data).digest()
    stranger = signing.private_key(signing.new_key(str(tmp_path / "trusted" / "stranger"))[0])
    for bad in (signing.sign(stranger, digest), store.private.sign(digest), store.private.sign(data)):
        publish(path, bad)
        assert read(cache, key) is None
    publish(path, good)
    assert read(cache, key) is not None


@needs_cryptography
def test_several_keys_in_a_file_or_a_folder(store, entry, tmp_path):
    key, data = entry
    store.approve("signed", key, data)
    mine = store.keys.read_bytes()
    other = other_key(tmp_path, "ed25519")
    publish(store.keys, b"The keys of two teams.\n" + other + b"\n" + mine)
    assert read(store.cache(), key) is not None
    publish(store.keys, other)
    cache = store.cache()
    assert refused(cache, key, "by a key in")
    folder = tmp_path / "trusted" / "keys"
    folder.mkdir(mode=0o755)
    publish(folder / "a.pem", other)
    (folder / "README").write_text("not a key, and not read")
    store.set("INGOT_CACHE_KEYS", str(folder))
    assert read(cache, key) is None
    publish(folder / "b.pem", mine)
    assert read(cache, key) is not None
    os.unlink(folder / "b.pem")  # a key that is taken away counts no more, in a process that runs too
    assert read(cache, key) is None
    os.unlink(folder / "a.pem")
    log._warned.clear()
    assert refused(cache, key, "keys holds no file NAME.pem")
    publish(folder / "b.pem", mine)
    os.chmod(folder, 0o777)
    log._warned.clear()
    assert refused(cache, key, "keys can be written by others")


@needs_cryptography
@pytest.mark.parametrize(
    "kind, match",
    [
        ("ec", "holds a key of another kind .*not Ed25519"),
        ("x25519", "holds a key of another kind .*not Ed25519"),
        ("ed448", "holds a key of another kind .*not Ed25519"),
        ("private", "holds a private key: keep it where entries are signed"),
        ("encrypted", "holds a private key"),
        (b"", "holds no whole PEM public key"),
        (b"\xff\x00garbage\n" * 9, "holds no whole PEM public key"),
        (b"-----BEGIN PUBLIC KEY-----\nMCow", "holds no whole PEM public key"),
        (b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n", "holds no key that can be read"),
        (b"-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----\n", "holds no key that can be read"),
        (b"-----BEGIN CERTIFICATE-----\nMCow\n-----END CERTIFICATE-----\n", "holds a CERTIFICATE, not a PUBLIC KEY"),
        (b"x" * (65 << 10), "has more than the 65536 bytes that it may have"),
    ],
)
def test_key_files_that_refuse_everything(store, entry, tmp_path, kind, match):
    store.approve("signed", *entry)
    good = store.keys.read_bytes()
    publish(store.keys, kind if isinstance(kind, bytes) else other_key(tmp_path, kind))
    assert refused(store.cache(), entry[0], f"INGOT_CACHE_KEYS: {store.keys} {match}")
    if kind != b"" and len(store.keys.read_bytes()) < 1000:  # no good key beside a bad one either
        publish(store.keys, good + store.keys.read_bytes())
        if b"garbage" not in store.keys.read_bytes():  # text between keys is text
            log._warned.clear()
            assert refused(store.cache(), entry[0], match)


def test_without_cryptography_signed_refuses_everything_and_names_the_extra(store, entry, monkeypatch):
    """Never a weaker rule: the store could be ours in every respect."""
    for name in ("cryptography", "cryptography.hazmat.primitives", "cryptography.hazmat.primitives.asymmetric"):
        monkeypatch.setitem(sys.modules, name, None)
    store.set("INGOT_CACHE_TRUST", "signed")
    publish(store.keys, b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n")
    cache = store.cache()
    assert refused(cache, entry[0], r"signatures need the package cryptography .*pip install 'ingot\[sign\]'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(cache, entry[0]) is None
    with pytest.raises(TrustError, match="cryptography"):
        signing.new_key(str(store.keys) + "x")


UNTOUCHED = """
import os, sys
from ingot.runtime.cache import Cache
key, store = sys.argv[1:]
assert Cache(None, (store,)).lookup(key) is not None
print("cryptography" in sys.modules)
"""


@pytest.mark.parametrize("rule", RULES)
def test_cryptography_is_imported_for_signatures_only(store, entry, rule):
    store.approve(rule, *entry)
    argv = [sys.executable, "-c", UNTOUCHED, entry[0], str(store.folder)]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ)
    assert done.stdout == f"{rule == 'signed'}\n", done.stderr


# -- private keys ----------------------------------------------------------------------------------------------------


@needs_cryptography
def test_a_new_key_is_for_its_owner_and_overwrites_nothing(tmp_path):
    before = os.umask(0)
    try:
        private, public = signing.new_key(str(tmp_path / "team.pem"))  # with or without the ending
    finally:
        os.umask(before)
    assert (private, public) == (str(tmp_path / "team.pem"), str(tmp_path / "team.pub.pem"))
    assert os.stat(private).st_mode & 0o777 == 0o600 and os.stat(public).st_mode & 0o777 == 0o644
    (key,) = signing.public_keys((tmp_path / "team.pub.pem").read_bytes(), "team.pub.pem")
    assert signing.verified([key], b"d" * 32, signing.sign(signing.private_key(private), b"d" * 32))
    old = (tmp_path / "team.pem").read_bytes(), (tmp_path / "team.pub.pem").read_bytes()
    with pytest.raises(FileExistsError):
        signing.new_key(str(tmp_path / "team"))
    os.rename(private, tmp_path / "kept.pem")
    with pytest.raises(FileExistsError):  # the public one is still there
        signing.new_key(str(tmp_path / "team"))
    assert not os.path.exists(private)
    assert old == ((tmp_path / "kept.pem").read_bytes(), (tmp_path / "team.pub.pem").read_bytes())


@needs_cryptography
def test_private_keys_that_are_refused(tmp_path):
    private, public = signing.new_key(str(tmp_path / "team"))
    for mode in (0o640, 0o604, 0o620):
        os.chmod(private, mode)
        with pytest.raises(TrustError, match="can be read or written by others.*chmod 600"):
            signing.private_key(private)
    os.chmod(private, 0o400)
    assert signing.private_key(private)
    os.chmod(public, 0o600)
    with pytest.raises(TrustError, match="holds a public key; the private one signs"):
        signing.private_key(public)
    for text, match in (
        (other_key(tmp_path, "encrypted"), "is encrypted with a passphrase"),
        (b"", "holds no key that can be read"),
        (b"garbage\n", "holds no key that can be read"),
    ):
        (tmp_path / "k").write_bytes(text)
        os.chmod(tmp_path / "k", 0o600)
        with pytest.raises(TrustError, match=match):
            signing.private_key(str(tmp_path / "k"))
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    (tmp_path / "k").write_bytes(pem)
    with pytest.raises(TrustError, match="another kind .*not Ed25519"):
        signing.private_key(str(tmp_path / "k"))
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(TrustError, match="is not a regular file"):
        signing.private_key(str(tmp_path / "fifo"))
    with pytest.raises(FileNotFoundError):
        signing.private_key(str(tmp_path / "nothing"))


# -- signatures belong to their entries ------------------------------------------------------------------------------


def test_a_signature_goes_with_its_entry(cache, make_entry):
    own, keys = cache.own, []
    for n in range(4):
        key, data = make_entry(n)
        cache.put(key, data, 5.0)
        publish(own.signature_path(key), b"s" * 64)
        keys.append(key)
    assert [e.key for e in own.list()] == sorted(keys)
    assert own.remove(keys[0]) and not os.path.exists(own.signature_path(keys[0]))
    with open(own.path(keys[1]), "wb") as f:
        f.write(b"damaged")
    with pytest.warns(log.IngotWarning, match="set aside"):
        assert read(cache, keys[1]) is None
    assert not os.path.exists(own.signature_path(keys[1]))
    os.unlink(own.path(keys[2]))
    assert own.sweep() == 0  # it may be that its entry is just being written
    os.utime(own.signature_path(keys[2]), (0, 0))
    assert own.sweep() == 1 and not os.path.exists(own.signature_path(keys[2]))
    os.utime(own.signature_path(keys[3]), (0, 0))
    assert own.sweep() == 0 and os.path.exists(own.signature_path(keys[3]))


def test_eviction_takes_signatures_along(folder, make_entry):
    cache = Cache(str(folder), max_entries=2)
    for n in range(6):
        key, data = make_entry(n)
        cache.put(key, data, 5.0)
        publish(cache.own.signature_path(key), b"s" * 64)
    left = {e.key for e in cache.own.list()}
    signatures = {n[: -len(".sig")] for _, _, names in os.walk(folder) for n in names if n.endswith(".sig")}
    assert signatures == left and len(left) <= 2


def test_an_explanation_does_not_wait_for_what_is_no_file(store, entry):
    from ingot.runtime.cache import explain

    store.approve("digest-list", *entry)
    shared = store.cache().shared[0]
    (listed,) = shared.list()
    assert explain._preimage(shared, listed) == {"n": 1}
    os.unlink(listed.path)
    os.mkfifo(listed.path)
    assert explain._preimage(shared, listed) is None
