"""Tiles of a matrix that a block holds in registers: products into them, and products of them (attention.py).

Each thread has some rows and columns of a tile. Of halves they are fragments of matrix instructions (ir/loop/fragments.py), whose sums
are the factors of the next product where they lie; of singles they are runs of neighbours, and factors go through shared memory. What
products read beside them lies in shared memory: what a block keeps, and what comes by a tile at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ingot.backends.cuda.block_kernel import BlockKernel
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.writer import Scalar
from ingot.ir.struct import value_type

__all__ = ["PAD", "RUN", "MatrixTiles", "Operand", "Place", "Rows"]

PAD = 4  # words between lines of shared memory, whose ends would fall into one bank
RUN = 4  # neighbours that a thread reads
CROWDED = 72  # registers for elements and sums, beyond which fewer loads are on their way at a time

Rows = list[list[Scalar]]  # a thread's elements, row by row
Place = tuple[str, Index, Scalar | None]  # a buffer, where in it, and whether there is such an element (None: there is)


@value_type
class Operand:
    """An operand of a product in shared memory: its element at (row or column, step of the sum), and whether memory lies along steps."""

    at: Callable[[Index, Index], Scalar]
    along: bool


class MatrixTiles(ABC):
    """Tiles of `tile` rows and columns. `depths`: steps of the sums that make elements, `widths`: columns of what elements make.

    turned: of each operand that comes by, those that make elements first, whether it lies across; where they are copied, a tile ahead
    of the products, into two slots. of: the number of the first that is the same memory as each of them
    """

    unit = 16  # what depths and widths are rounded up to
    thread: Index

    def __init__(
        self, dtype: DType, tile: tuple[int, int], threads: int, depths: Sequence[int], widths: Sequence[int],
        turned: tuple[bool, ...] = (), of: tuple[int, ...] = (),
    ):  # fmt: skip
        self.dtype, self.tile, self.threads, self.turned, self.of = dtype, tile, threads, turned, of
        self.depths, self.widths = ([-(-n // self.unit) * self.unit for n in some] for some in (depths, widths))
        self.rows: list[Index] = []

    @property
    @abstractmethod
    def fits(self) -> bool:
        """Whether threads share a tile out evenly."""

    @property
    @abstractmethod
    def registers(self) -> int:
        """Elements and sums of a thread."""

    @property
    @abstractmethod
    def words(self) -> tuple[list[int], int, int]:
        """Shared memory, in words: what is kept for each sum, what comes by, and factors on their way."""

    @abstractmethod
    def begin(self, thread: Index) -> None:
        """Which rows the thread has."""

    @property
    @abstractmethod
    def lanes(self) -> tuple[int, ...]:
        """The bits of their numbers in which the threads that share a row differ."""

    @property
    @abstractmethod
    def first(self) -> Index:
        """0 in one of the threads that share a row."""

    @abstractmethod
    def columns(self, n: int, scores: bool = False) -> list[Index]:
        """Which of n columns the thread has, of elements or of what they make."""

    @abstractmethod
    def sums(self, n: int) -> list[list[str]]:
        """Accumulators for the thread's rows and its columns of n."""

    @abstractmethod
    def put(self, name: str, lines: int, steps: int, operand: Operand) -> None:
        """Bring an operand into shared memory."""

    @abstractmethod
    def score(self, which: int, sums: list[list[str]], slot: Index) -> None:
        """Add the products of what is kept with what has come by."""

    @abstractmethod
    def factors(self, values: Rows) -> list[Scalar]:
        """Make elements the factors of the next product."""

    @abstractmethod
    def product(self, which: int, left: list[Scalar], sums: list[list[str]], slot: Index) -> None:
        """Add the products of factors with what has come by."""

    def copy(self, which: int, slot: Index, place: Callable[[Index, Index], Place]) -> None:
        """Send for an operand that comes by. place(line, step): where its element is."""
        raise ValueError("these tiles are made of what passes registers")

    # -- shared memory -----------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory."""
        kept, passing, between = self.words
        return 4 * (sum(kept) + passing + between)

    def allocate(self, k: BlockKernel, dtype: DType) -> None:
        """Declare the shared memory."""
        self.k, self.w = k, k.w
        kept, passing, between = self.words
        self.kept = [k.shared(dtype, n) for n in kept]
        self.passing = k.shared(dtype, passing)
        self.between = k.shared(dtype, between) if between else ""

    def each(self, total: int, body: Callable[[Index], None]) -> None:
        """`body` for each of some items, one to a thread at a time."""
        rounds, rest = divmod(total, self.threads)
        together = next(n for n in (4, 3, 2, 1) if rounds % n == 0 and (n <= 2 or self.registers <= CROWDED))
        with self.w.loop("serial", rounds // together) if rounds > together else nullcontext(ZERO) as turn:
            for e in range(together if rounds else 0):
                body(ix.add(self.thread, ix.add(ix.mul(turn, together * self.threads), ix.const(e * self.threads))))
        if rest:
            item = ix.add(self.thread, ix.const(rounds * self.threads))
            with self.k.below(item, total, False):
                body(item)
