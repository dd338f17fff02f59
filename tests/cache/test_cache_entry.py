"""The entry format: every damage is noticed."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.runtime.cache import entry
from ingot.runtime.cache.entry import EntryError


def test_round_trip(make_entry):
    key, data = make_entry(7)
    e = entry.parse(data, key)
    assert e.key == key and bytes(e.code[:4]) == b"\x7fELF" and len(e.code) == 104
    assert e.manifest == {"compile_ms": 5, "n": 7} and e.record["name"] == "f7" and e.preimage == {"n": 7}
    assert e.texts == {"graph": "func"}


def test_the_code_comes_first(make_entry):
    assert make_entry()[1].startswith(b"\x7fELF")


def test_same_content_same_bytes(make_entry):
    assert make_entry(3) == make_entry(3)


def test_another_entry_under_this_name(make_entry):
    with pytest.raises(EntryError, match="it is the entry of"):
        entry.parse(make_entry(1)[1], make_entry(2)[0])


def test_a_newer_format_is_refused(make_entry):
    import hashlib

    key, data = make_entry()
    foot = bytearray(data[-entry._FOOTER.size : -32])
    foot[8:12] = struct.pack("<I", 99)
    data = data[: -entry._FOOTER.size] + bytes(foot) + hashlib.sha256(foot).digest()
    with pytest.raises(EntryError, match="format 99"):
        entry.parse(data, key)


def test_a_wrong_preimage_is_found_by_the_deep_check(make_entry):
    key, _ = make_entry()
    data = entry.pack(key, b"\x7fELF", {}, {}, b'{"n":99}', {})
    with pytest.raises(EntryError, match="preimage"):
        entry.parse(data, key).check_deep()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=5))
def test_noise_with_a_good_footer_is_refused_or_parsed(body, lengths):
    import hashlib

    head = entry._FOOTER.pack(b"INGOT.SO", 1, b"\0" * 32, *lengths, hashlib.sha256(body).digest(), b"")[:-32]
    try:
        entry.parse(body + head + hashlib.sha256(head).digest()).check_deep()
    except EntryError:
        pass
