"""The loop IR: a kernel is loops around loads, scalar instructions and stores, with its schedule spelled out.

One language for every backend. A kernel reads and writes flat buffers at int64 element offsets. Control flow is
loops and `If`; scalar instructions are the closed list of `ir/instructions.py`.

What a loop's `kind` means (extent 0 always runs nothing):

    serial     in order
    parallel   outermost only: iterations are independent chunks, in any order, on any worker. A kernel's body is
               a list of statements; each top-level `parallel` loop is one phase, all of a phase ends before the
               next statement starts
    vector     `width` lanes at once (a multiple of the hardware's width is split by the backend). Everything in the
               body that depends on the variable is widened, inner serial loops included; their trip counts must not
               depend on it. The last, partial group runs masked: loads and stores of absent lanes do not happen.
               `exact=True` promises that width divides the extent
    unroll     extent is a constant; expanded in place; the variable is a constant in each copy and may index `Acc`
    grid       CUDA: the thread block's index;   block: the thread's index within it

Accumulators. `Acc` declares mutable scalars (an array of them where `shape` is given, indexed by constants).
`Reduce` folds values into them. An Acc declared outside a vector loop and reduced inside it keeps one partial per
lane, which are combined where the loop ends, in a fixed tree order (lane i with lane i + width/2, and so on); an Acc
declared inside a vector loop is one per lane.
"""

from __future__ import annotations

from struct import pack

from ingot.ir.dtypes import DType
from ingot.ir.loop.expression import Coef, Index, Param
from ingot.ir.struct import value_type

__all__ = [
    "Const", "Operand", "Load", "Store", "Transpose", "Let", "IndexValue", "Acc", "Reduce", "SetAcc", "GetAcc", "For", "If",
    "Alloc", "Table", "Barrier", "CopyAsync", "Commit", "Wait", "Mma", "Shuffle", "LoadMatrix",
    "WarpgroupMma", "WarpgroupWait", "Check", "Stmt", "Buffer", "Kernel", "KINDS", "nan_bits",
]  # fmt: skip

KINDS = ("serial", "parallel", "vector", "unroll", "grid", "block")  # of loops


# -- operands --------------------------------------------------------------------------------------------------------


def nan_bits(value: float) -> int:
    """The bits of a NaN, which may have a sign and a payload."""
    return int.from_bytes(pack("<d", value), "little")


class Const:
    """A literal operand. Floats compare by bits. Immutable."""

    __slots__ = ("value", "dtype", "_key")

    def __init__(self, value: bool | int | float, dtype: DType):
        self.value = value
        self.dtype = dtype
        self._key = repr(value) if value == value else f"nan{nan_bits(value):#x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.dtype is other.dtype and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Const({self._key}, {self.dtype.name})"


Operand = str | Const  # the name of a scalar, or a literal


# -- statements ------------------------------------------------------------------------------------------------------


@value_type
class Load:
    """dst = buf[index], only where `mask` (a bool scalar) holds: elsewhere 0. bool buffers hold bytes 0 and 1.

    word: the elements from `index` on, as many as fill a scalar of this dtype, the first one lowest; the same ones for all lanes
    """

    dst: str
    buf: str
    index: Index
    mask: Operand | None = None
    word: DType | None = None


@value_type
class Store:
    """buf[index] = src, where `mask` holds. `streaming`: will not be read soon (non-temporal where aligned)."""

    buf: str
    index: Index
    src: Operand
    mask: Operand | None = None
    streaming: bool = False


@value_type
class Transpose:
    """dst[to + i * to_step + j] = src[at + j * at_step + i] for all i and j below `size`, a power of two: a square, by registers.

    The two do not overlap. `streaming` as in `Store`.
    """

    dst: str
    to: Index
    to_step: Coef
    src: str
    at: Index
    at_step: Coef
    size: int
    streaming: bool = False


@value_type
class Let:
    """dst = op(args): one instruction of ir/instructions.py. `dtype` is the result's."""

    dst: str
    op: str
    args: tuple[Operand, ...]
    dtype: DType


@value_type
class IndexValue:
    """dst (i64) = the value of an index expression."""

    dst: str
    index: Index


@value_type
class Acc:
    """Declare an accumulator (or a register array of `shape`), set to `init`."""

    name: str
    dtype: DType
    init: Operand
    shape: tuple[int, ...] = ()


@value_type
class Reduce:
    """Fold values into accumulators by a fold of folds.py: `sum`: acc += v; `fma`: acc = fma(v0, v1, acc); `argmax`: (best, position)."""

    accs: tuple[str, ...]
    kind: str  # the fold's name
    values: tuple[Operand, ...]
    at: tuple[Index, ...] = ()  # which register of an array Acc; constants after unrolling


@value_type
class SetAcc:
    """acc = value (loop-carried state that is not a reduction, as in a cumulative sum)."""

    acc: str
    value: Operand
    at: tuple[Index, ...] = ()


@value_type
class GetAcc:
    """dst = the accumulator's present value."""

    dst: str
    acc: str
    at: tuple[Index, ...] = ()


@value_type
class For:
    """for var in 0 .. extent."""

    var: str
    extent: Index
    kind: str
    body: list[Stmt]
    width: int = 1  # vector: lanes
    exact: bool = False  # vector: width divides extent


@value_type
class If:
    """Run body where cond (a bool scalar, uniform over vector lanes) holds."""

    cond: Operand
    body: list[Stmt]


@value_type
class Alloc:
    """Scratch memory, uninitialised, 64-byte aligned, `size` elements; a parameter of the kernel may say how many.

    scope "kernel": shared by all phases and workers (top level only; placed in the arena);
    "worker": private to the running chunk;  "shared": CUDA, per block.
    """

    name: str
    dtype: DType
    size: Coef
    scope: str


@value_type
class Table:
    """Memory that is part of the code and only read: the elements that `data` holds, as they lie in memory."""

    name: str
    dtype: DType
    data: bytes


@value_type
class Barrier:
    """All threads of a block arrive before any goes on (CUDA)."""


@value_type
class CopyAsync:
    """dst[to…] = src[at…], of `nbytes` (4, 8 or 16) bytes: on the way until a `Wait` (CUDA). Zeros where `mask` does not hold.

    Into shared memory, from memory that nothing writes meanwhile; `to` and `at` are multiples of what is copied.
    """

    dst: str
    to: Index
    src: str
    at: Index
    nbytes: int
    mask: Operand | None = None


@value_type
class Commit:
    """What a thread has copied since its last commit becomes a group; all threads of a block run it (CUDA)."""


@value_type
class Wait:
    """Each thread waits until all its groups of copies have landed but the last `groups`; all threads of a block run it (CUDA).

    What others copy is there behind a barrier that they reach after such a wait.
    """

    groups: int


@value_type
class Mma:
    """accs += left * right, of small matrices that the 32 threads of a warp hold together; all of them run it (CUDA).

    `dtype`: of the operands' elements: halves, two to a register, or f32, rounded to TF32. The sums of several products, row by row of
    them: four f32 accumulators each; `left` has four u32 registers for each row of products, `right` two for each column. fragments.py
    says who holds what.
    """

    dtype: DType
    accs: tuple[str, ...]
    left: tuple[Operand, ...]
    right: tuple[Operand, ...]


@value_type
class Shuffle:
    """dst = src of the thread whose number differs in the bit `lanes` (1, 2, 4, 8 or 16), in the same warp; all its threads run it (CUDA).

    Of 32 bits.
    """

    dst: str
    src: Operand
    lanes: int


@value_type
class LoadMatrix:
    """Four matrices of 8 lines of 4 words, from shared memory into the registers of a warp; all its threads run it (CUDA).

    Line g of matrix r begins at `buf[at]`, `at` being that of thread 8 r + g: a multiple of 4. `dsts[r]` becomes word t of line g of
    matrix r in thread 4 g + t, as fragments.py has it; where the matrix is `turned` the halves at g of its lines 2 t and 2 t + 1.
    """

    dsts: tuple[str, str, str, str]
    buf: str
    at: Operand
    turned: bool = False


@value_type
class WarpgroupMma:
    """accs += left * right, of matrices in shared memory, by each warpgroup: four warps of a block together, all of which run it (CUDA).

    On its way until a `WarpgroupWait`: till then the accumulators are not to be looked at, nor what it reads to be written. 64 rows,
    twice as many columns as there are accumulators of f32, and `steps` times 32 bytes along k. `dtype`: of the elements: halves, or
    f32, rounded to TF32. An operand begins at word `…_at` of a buffer of words, a multiple of 256 that is the same for a warpgroup;
    fragments.py says how it lies there; one of halves may be `turned`: lie along its rows or columns.
    """

    dtype: DType
    accs: tuple[str, ...]
    left: str
    left_at: Operand
    right: str
    right_at: Operand
    steps: int
    turned: tuple[bool, bool] = (False, False)


@value_type
class WarpgroupWait:
    """Each warpgroup waits until its products are done but for the last `groups`; all threads of a block run it (CUDA).

    `accs`: where none is left on its way, the accumulators, which are there from now on.
    """

    groups: int
    accs: tuple[str, ...] = ()


@value_type
class Check:
    """Where cond does not hold, the call fails with `code` (it goes on to its end; results are dropped)."""

    cond: Operand
    code: int | Param


Stmt = (
    Load | Store | Transpose | Let | IndexValue | Acc | Reduce | SetAcc | GetAcc | For | If | Alloc | Table | Barrier | CopyAsync | Commit
    | Wait | Mma | Shuffle | LoadMatrix | WarpgroupMma | WarpgroupWait | Check
)


@value_type
class Buffer:
    """A buffer parameter. `noalias`: no other buffer that this kernel writes overlaps it."""

    name: str
    dtype: DType
    access: str  # "r", "w" or "rw"
    noalias: bool = False


@value_type
class Kernel:
    """A kernel: buffers and int64 parameters in, loops inside. `schedule`: the text of what it was written by."""

    name: str
    buffers: tuple[Buffer, ...]
    params: tuple[str, ...]
    body: list[Stmt]
    schedule: str = ""
