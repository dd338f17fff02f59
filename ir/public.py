"""The public function that an op is made into: a fact of its declaration.

From it come `ingot.NAME` and `Tensor.NAME` with torch's conventions for functions of their kind (frontend/functions/unary.py,
binary.py and reduce.py), the table of lazy names and the typing stubs. What torch does otherwise is a function written out there.
"""

from __future__ import annotations

from typing import ClassVar

from ingot.ir.struct import struct

__all__ = ["Public", "Unary", "Binary", "Reduce"]


@struct
class Public:
    """One of the kinds below.

    domain     what becomes of dtypes that the op does not take
    doc        one sentence or more; the op's own unless given
    name       the op's own unless given
    aliases    other names of the function
    """

    domains: ClassVar[tuple[str, ...]] = ()
    domain: str
    doc: str = ""
    name: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.domain not in self.domains:
            raise ValueError(f"the domain of a public {type(self).__name__} is one of {', '.join(self.domains)}, not {self.domain!r}")


@struct
class Unary(Public):
    """`ingot.NAME(input, *, out=None)`, also in place as `Tensor.NAME_()`.

    domain: "float" takes integers and bools as the default float dtype; "number" keeps the dtype and refuses bool;
    "rounding" is the identity on integers and refuses bool.
    complex: the op for complex numbers, where it is another one.
    """

    domains: ClassVar[tuple[str, ...]] = ("float", "number", "rounding")
    complex: str = ""


@struct
class Binary(Public):
    """`ingot.NAME(input, other, *, out=None)`, which broadcasts and promotes.

    domain: "number" (bools go to the op `bools`, or are refused), "float" (integers and bools become the default float dtype),
    "compare" (any dtype to bool), "logic" (operands as truth values), "bits" (no floats), "shift" (integers only)
    tensors: which operands must be Tensors: "one" (either), "first" or "both"
    """

    domains: ClassVar[tuple[str, ...]] = ("number", "float", "compare", "logic", "bits", "shift")
    bools: str = ""
    tensors: str = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tensors not in ("one", "first", "both"):
            raise ValueError(f"the tensors of a public Binary are one, first or both, not {self.tensors!r}")


@struct
class Reduce(Public):
    """`ingot.NAME(input, dim=None, keepdim=False, *, out=None)`, over all dims where `dim` is None.

    domain: "number" keeps the dtype (bools go to the op `bools`, or are refused), "truth" takes elements as truth values,
    "position" counts along one dim, or in the flattened tensor
    empty: over no elements it has a value; else that is an error
    """

    domains: ClassVar[tuple[str, ...]] = ("number", "truth", "position")
    bools: str = ""
    empty: bool = True
