"""Private keys: made for their owner, and refused where others can have them."""

import os

import pytest

from ingot.runtime.cache import signing
from ingot.runtime.cache.ownership import TrustError
from tests.support.stores import needs_cryptography, other_key


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
