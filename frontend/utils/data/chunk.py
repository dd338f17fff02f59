"""Batches that know that they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["DataChunk"]

T = TypeVar("T")


class DataChunk(list, Generic[T]):
    """A list of items that were put together.

    >>> ingot.utils.data.DataChunk([1, 2]).as_str()
    '[1, 2]'
    """

    def __init__(self, items: Iterable[T]):
        items = list(items)
        super().__init__(items)
        self.items = items

    def as_str(self, indent: str = "") -> str:
        """The items as text."""
        return indent + "[" + ", ".join(str(i) for i in iter(self)) + "]"

    def __iter__(self) -> Iterator[T]:
        yield from super().__iter__()

    def raw_iterator(self) -> Iterator[T]:
        """The items."""
        yield from self.items
