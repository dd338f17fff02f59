"""What portable artifacts hold: the types, attributes and operations of VHLO, by their codes, and the module that they make.

VHLO is StableHLO with versions on everything, so that old files can be read; versions of an operation differ in the attributes that they
have, and their names say what is missing. Source: stablehlo/dialect/VhloBytecode.cpp and VhloOps.td of https://github.com/openxla/stablehlo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.interchange.stablehlo.attributes import dense_of
from ingot.interchange.stablehlo.bytecode import Cursor, RawBlock, RawOperation, Sections
from ingot.interchange.stablehlo.flat import flat
from ingot.interchange.stablehlo.module import DTYPES, Block, Function, Module, Opaque, Operation, StablehloError, Type, Value
from ingot.interchange.stablehlo.operations import HINTS
from ingot.interchange.stablehlo.types import MOST
from ingot.interchange.stablehlo.vhlo import ATTRIBUTES, ELEMENTS, ENUMS

__all__ = ["read_bytecode"]


class _Portable:
    def __init__(self, data: Any):
        self.s = Sections(data)
        self.depth = 0
        self.functions: dict[str, Function] = {}

    # ---- types and attributes, by index

    def type(self, c: Cursor, i: int | None = None) -> Type:
        return self.read(self.s.types, c, self.vhlo_type, i)

    def attribute(self, c: Cursor, i: int | None = None) -> Any:
        return self.read(self.s.attributes, c, self.any_attribute, i)

    def read(self, entries: Any, c: Cursor, how: Callable[[Cursor, str], Any], i: int | None) -> Any:
        self.depth += 1
        try:
            return self.s.resolved(entries, c.varint() if i is None else i, c, how, self.depth)
        finally:
            self.depth -= 1

    def many(self, c: Cursor, item: Callable[[], Any]) -> list[Any]:
        return [item() for _ in range(c.count())]

    def types(self, c: Cursor) -> tuple[Type, ...]:
        return tuple(self.many(c, lambda: self.type(c)))

    def vhlo_type(self, c: Cursor, dialect: str) -> Type:
        code = c.varint()
        if dialect == "builtin":
            if code == 0:
                width = c.varint()
                name = f"{'u' if width & 3 == 2 else ''}i{width >> 2}"
                return Type("tensor", name if name in DTYPES else "i64")
            if code == 9:
                return self.complex(c)
            if code == 13:
                return self.ranked(c)
            return Type("tensor", {1: "index", 3: "bf16", 4: "f16", 5: "f32", 6: "f64"}[code]) if code in (1, 3, 4, 5, 6) else Type("none")
        if dialect != "vhlo":
            return Type(f"!{dialect}")
        if code in ELEMENTS:
            return Type("tensor", ELEMENTS[code])
        if code == 1:
            return self.complex(c)
        if code == 8:
            inputs = self.types(c)
            return Type("function", items=self.types(c), inputs=inputs)
        if code in (20, 21):
            if code == 21:
                self.attribute(c)
            return self.ranked(c)
        if code == 25:
            return Type("tensor", self.type(c).element, None)
        if code in (22, 23, 33):
            return Type("tuple", items=self.types(c)) if code == 23 else Type("token" if code == 22 else "none")
        if code in (24, 30):
            return self.quantized(c, code == 30)
        if code == 42:
            return Type("!stablehlo.future", items=self.types(c))
        c.fail(f"there is no type of the code {code}")

    def complex(self, c: Cursor) -> Type:
        of = self.type(c).element
        if of not in ("f32", "f64"):
            c.fail(f"complex numbers of {of}")
        return Type("tensor", f"complex<{of}>")

    def ranked(self, c: Cursor) -> Type:
        shape = tuple(None if d == -(1 << 63) else d for d in self.many(c, c.signed))
        out = Type("tensor", self.type(c).element, shape)
        dtype = out.dtype
        if any(d is not None and d < 0 for d in shape) or out.numel * (8 if dtype is None else dtype.itemsize) > MOST or len(shape) > 64:
            c.fail(f"{out} is no type of a tensor that fits in memory")
        return out

    def quantized(self, c: Cursor, by_axis: bool) -> Type:
        c.varint()
        storage, expressed = self.type(c).element, self.type(c).element
        if by_axis:
            axis, low, high = c.varint(), c.signed(), c.signed()
            scales = self.many(c, lambda: self.number(c, "f64"))
            zeros = self.many(c, c.signed)
            parts = ", ".join(f"{s!r}:{z}" for s, z in zip(scales, zeros))
            return Type("tensor", f"!quant.uniform<{storage}<{low}:{high}>:{expressed}:{axis}, {{{parts}}}>")
        scale = self.number(c, "f64")
        zero, low, high = c.signed(), c.signed(), c.signed()
        return Type("tensor", f"!quant.uniform<{storage}<{low}:{high}>:{expressed}, {scale!r}:{zero}>")

    def number(self, c: Cursor, element: str) -> Any:
        """A number of a known type, by its bits."""
        dtype = DTYPES.get(element)
        if dtype is None or dtype.kind == "c":
            c.fail(f"numbers of {element} are not read")
        size = dtype.itemsize
        bits = (c.byte() if size == 1 else c.signed()) & ((1 << 8 * size) - 1)
        if element == "i1":
            return bool(bits & 1)
        if element in ("i4", "i2", "ui4", "ui2"):
            n = int(element.lstrip("ui"))
            bits &= (1 << n) - 1
            return bits - (1 << n) if element[0] == "i" and bits >> (n - 1) else bits
        return np.frombuffer(bits.to_bytes(size, "little"), dtype)[0].item()

    def any_attribute(self, c: Cursor, dialect: str) -> Any:
        if dialect == "vhlo":
            return self.vhlo_attribute(c)
        code = c.varint() if dialect == "builtin" else -1
        if code == 0:
            return self.many(c, lambda: self.attribute(c))
        if code == 1:
            return self.dictionary(c)
        if code in (2, 4):
            return self.s.string(c) if code == 2 else self.attribute(c)
        if code == 6:
            return self.type(c)
        if code == 7:
            return True
        if code == 8:
            return self.number(c, self.type(c).element)
        return Opaque(dialect)

    def dictionary(self, c: Cursor) -> dict[str, Any]:
        out = {}
        for _ in range(c.count()):
            name = self.attribute(c)
            if not isinstance(name, str):
                c.fail("the name of an attribute is no string")
            out[name] = self.attribute(c)
        return out

    def vhlo_attribute(self, c: Cursor) -> Any:
        code = c.varint()
        if code == 1:
            return self.many(c, lambda: self.attribute(c))
        if code == 2:
            return bool(c.varint())
        if code in ENUMS:
            value = c.varint()
            if value not in ENUMS[code]:
                c.fail(f"the attribute of the code {code} has no value {value}")
            return ENUMS[code][value]
        if code == 6:
            return self.dictionary(c)
        if code in (8, 9):
            return self.number(c, self.type(c).element)
        if code == 10:
            outputs, which, inputs = self.many(c, c.signed), c.signed(), self.many(c, c.signed)
            return {"output_tuple_indices": outputs, "operand_index": which, "operand_tuple_indices": inputs}
        if code == 14:
            return self.s.string(c)
        if code == 15:
            of = self.type(c)
            raw = c.take(c.varint())
            if of.kind != "tensor" or of.shape is None or None in of.shape or of.dtype is None:
                c.fail(f"a tensor of numbers cannot have the type {of}")
            if of.element == "i1" and len(raw) == 1 and raw[0] == 255:
                raw = memoryview(b"\1" * of.numel) if of.numel <= 8 else raw
            return dense_of(of, raw, c.fail)
        if code == 17:
            return self.type(c)
        if code == 20:
            atol, rtol, ulps = self.number(c, "f64"), self.number(c, "f64"), c.signed()
            return {"atol": atol, "rtol": rtol, "ulps": ulps, "mode": self.attribute(c)}
        if code in (18, 21, 22, 23, 24, 25):
            return Opaque(f"vhlo attribute {code}")
        c.fail(f"there is no attribute of the code {code}")

    # ---- operations

    def module(self) -> Module:
        c = Cursor(self.s.data, 0, len(self.s.data))
        if len(self.s.ops) != 1 or self.s.ops[0].name != "builtin.module":
            c.fail("there is no module")
        top = self.s.ops[0]
        attrs = self.attribute(c, top.attrs) if top.attrs is not None else {}
        for region in top.regions:
            for block in region:
                for o in block.ops:
                    if o.name.startswith("sdy."):
                        continue
                    if o.name != "vhlo.func_v1":
                        self.at(o).fail(f"{o.name} stands among the functions")
                    self.function(o)
        if not self.functions:
            c.fail("there is no function")
        return Module("main", self.functions, attrs if isinstance(attrs, dict) else {})

    def at(self, o: RawOperation) -> Cursor:
        return Cursor(self.s.data, o.at, len(self.s.data))

    def function(self, o: RawOperation) -> None:
        c, attrs = self.at(o), self.attrs_of(o)
        of, name = attrs.get("function_type"), attrs.get("sym_name")
        if not isinstance(of, Type) or of.kind != "function" or not isinstance(name, str) or name in self.functions:
            c.fail("a function needs a name of its own, and a type")
        if len(o.regions) != 1:
            c.fail(f"the function @{name} has no body")
        body = self.block(o.regions[0], {}, c)
        of_args = [a if isinstance(a, list) else [] for a in (attrs.get("arg_attrs"), attrs.get("res_attrs"))]
        padded = [[*a, *({} for _ in range(n - len(a)))] for a, n in zip(of_args, (len(of.inputs), len(of.items)))]
        if tuple(a.type for a in body.args) != of.inputs or tuple(v.type for v in body.ops[-1].inputs) != of.items:
            c.fail(f"the function @{name} has a body of another type")
        self.functions[name] = Function(name, body, of.inputs, of.items, tuple(padded[0]), tuple(padded[1]))

    def block(self, blocks: list[RawBlock], values: dict[int, Value], c: Cursor) -> Block:
        if len(blocks) != 1:
            c.fail("regions of no block, or several, are not read")
        raw = blocks[0]
        args = tuple(Value(self.type(c, i)) for i in raw.args)
        own = dict(zip(range(raw.first, raw.first + len(args)), args))
        values.update(own)
        ops = []
        for o in raw.ops:
            ops.append(self.operation(o, values))
            own.update(zip(range(o.results, o.results + len(o.types)), ops[-1].outputs))
        for k in own:
            values.pop(k, None)
        if not ops or ops[-1].name != "return" or any(o.name == "return" for o in ops[:-1]):
            c.fail("a block ends with its one return")
        return Block(args, ops)

    def attrs_of(self, o: RawOperation) -> dict[str, Any]:
        c = self.at(o)
        attrs = self.attribute(c, o.attrs) if o.attrs is not None else {}
        if not isinstance(attrs, dict):
            c.fail("the attributes of an operation are no dictionary")
        names = ATTRIBUTES.get(o.name.removeprefix("vhlo."))
        if names is None:
            c.fail(f"the operation {o.name} is not known")
        if not names:
            return attrs
        if o.properties is None:
            c.fail(f"{o.name} has no properties")
        p = Cursor(self.s.data, o.properties.at, o.properties.end)
        return {**attrs, **{n: self.attribute(p) for n in names}}

    def operation(self, o: RawOperation, values: dict[int, Value]) -> Operation:
        c = self.at(o)
        hint = o.name in HINTS or o.name == "builtin.unrealized_conversion_cast"
        if not o.name.startswith("vhlo.") and not hint:
            c.fail(f"the operation {o.name} is of a dialect that is not read")
        attrs = {} if hint else self.attrs_of(o)
        try:
            inputs = tuple(values[i] for i in o.inputs)
        except KeyError as e:
            c.fail(f"there is no value {e} here")
        regions = tuple(self.block(r, {} if o.isolated else values, c) for r in o.regions)
        outputs = tuple(Value(self.type(c, i)) for i in o.types)
        values.update(zip(range(o.results, o.results + len(outputs)), outputs))
        name = HINTS[0] if hint else o.name.removeprefix("vhlo.").rpartition("_v")[0]
        return Operation(name, inputs, outputs, flat(attrs), regions, f"byte {o.at}")


def read_bytecode(data: Any) -> Module:
    """The module that a portable artifact holds. StablehloError, with a byte's place, where it is none."""
    try:
        return _Portable(data).module()
    except RecursionError:
        raise StablehloError("what is nested in the module is nested too deep") from None
