"""A version that compares as versions do, by torch's name: `torch.__version__ >= (2, 2)`, `torch.__version__ < "2.10"`."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["NAMES_OF", "TorchVersion"]

NAMES_OF = "2.13.0"  # the torch whose names these are (docs/compat.md)
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev)?[^+]*(\+.+)?")


class TorchVersion(str):
    """A version as text, compared with text, tuples of numbers and `packaging`'s versions by its numbers: "2.9" is less than "2.13".

    What comes before a release (`2.13.0a0`, `.dev`, `rc`) is less than it, and one with a local part (`+cpu`) is more.

    Example: `TorchVersion("2.13.0") >= (2, 2)` is True. ValueError for what is no version. Source: torch.torch_version.TorchVersion.
    """

    def __lt__(self, other: Any) -> bool:
        return _parts(self) < _parts(other)

    def __le__(self, other: Any) -> bool:
        return _parts(self) <= _parts(other)

    def __gt__(self, other: Any) -> bool:
        return _parts(self) > _parts(other)

    def __ge__(self, other: Any) -> bool:
        return _parts(self) >= _parts(other)

    def __eq__(self, other: object) -> bool:
        try:
            return _parts(self) == _parts(other)
        except ValueError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _parts(version: Any) -> tuple[tuple[int, ...], int, str]:
    """The numbers without zeros at the end; -1 before a release, 0 of it, 1 with a local part; that part."""
    text = ".".join(map(str, version)) if isinstance(version, (tuple, list)) else str(version)
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"expected a version such as '2.13.0' or (2, 13), got {version!r}")
    numbers = [int(n) for n in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), -1 if found[2] else 1 if found[3] else 0, found[3] or ""
