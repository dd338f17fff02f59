"""Random damage to bytes, as it happens and as an attacker would do it: a function of the random generator alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["mutate"]

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (
    b"0", b"-1", b"1", b"99999999999999999999", b"9223372036854775807", b"18446744073709551616", b"1e999", b"0x1p+9999", b"NaN",
    b"-Infinity", b"null", b"true", b'""', b"[]", b"{}", b"[" * 3000, b"{\"a\":" * 3000, b"(" * 300, b"\x00", b"\xff\xfe", b"..", b"/",
    b"%0", b"@f", b"#",
    b"f32[", b"[0]", b"[-1]", b"]", b"\n", b"\r\n", b"\\u0000", b'"', b",", b":", b"{", b"}", b"=", b"x" * 5000,
)  # fmt: skip


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds` with one to six changes (that may come to nothing)."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_CHANGES)(rng, data, seeds)
    return bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Anywhere, but every other time near an end, where headers and footers are."""
    n = len(data)
    if rng.random() < 0.5 or n < 64:
        return rng.randrange(n + 1)
    return rng.randrange(64) if rng.random() < 0.5 else n - rng.randrange(64)


def _span(rng: random.Random, data: bytearray) -> slice:
    at = _place(rng, data)
    return slice(at, at + rng.choice((1, 1, 2, 4, 8, 16, 64, 512)))


def _flip(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[min(_place(rng, data), len(data) - 1)] ^= 1 << rng.randrange(8)


def _delete(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[_span(rng, data)]


def _cut(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _repeat(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    piece = data[_span(rng, data)]
    at = _place(rng, data)
    data[at:at] = piece * rng.choice((1, 2, 50))


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = bytearray(rng.choice(seeds))
    data[_span(rng, data)] = other[_span(rng, other)]


def _word(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    where = _span(rng, data) if rng.random() < 0.6 else slice(_place(rng, data), 0)
    data[where.start : max(where.start, where.stop)] = rng.choice(_WORDS)


def _number(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    width = rng.choice((1, 2, 4, 8))
    at = _place(rng, data)
    data[at : at + width] = (rng.choice(_NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, rng.choice(("little", "big")))


def _digits(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Another number where one stands as text."""
    at = _place(rng, data)
    for i in range(at, min(at + 200, len(data))):
        if chr(data[i]).isdigit():
            end = i
            while end < len(data) and chr(data[end]).isdigit():
                end += 1
            data[i:end] = str(rng.choice((*_NUMBERS, rng.randrange(100)))).encode()
            return


_CHANGES = (_flip, _flip, _delete, _cut, _repeat, _splice, _word, _word, _number, _digits, _digits)
