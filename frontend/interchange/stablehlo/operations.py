"""Operations as texts write them: names for values, regions, the generic form."""

from __future__ import annotations

import re
from typing import Any

from ingot.interchange.stablehlo.attributes import Attributes
from ingot.interchange.stablehlo.flat import flat
from ingot.interchange.stablehlo.module import Block, Operation, Type, Value

__all__ = ["HINTS", "LABEL", "OPERATION", "VALUE", "Operations", "canonical"]

VALUE = re.compile(r"%([\w$.-]+)(?:#(\d{1,9}))?")
_RESULT = re.compile(r"%([\w$.-]+)(?:\s*:\s*(\d{1,9}))?")
LABEL = re.compile(r"\^[\w$.-]+")
OPERATION = re.compile(r"[A-Za-z_][\w$]*(?:\.[\w$.]+)?")

HINTS = ("sdy.sharding_constraint", "sdy.reshard")  # where values are to lie, which gives them as they are


class Operations(Attributes):
    """A text of operations. `scopes`: the values that names have, outermost first."""

    def __init__(self, text: str):
        super().__init__(text)
        self.scopes: list[dict[str, list[Value]]] = [{}]

    def pretty(self, name: str) -> tuple:
        """What stands behind the name of an operation in a form of its own: operands, attributes, regions, types of the results."""
        raise NotImplementedError

    def argument(self) -> tuple[Value, dict[str, Any]]:
        value = self.defined()
        attrs = self.dictionary() if self.is_next("{") else {}
        self.location()
        return value, attrs

    def defined(self) -> Value:
        """`%name: type`, which names a new value."""
        at = self.at
        m = self.match(VALUE)
        if m is None or m[2]:
            self.expected("a value")
        self.need(":")
        value = Value(self.type())
        self.bind(m[1], [value], at)
        return value

    def location(self) -> None:
        if self.take_word("loc"):
            self.balanced()

    def properties(self) -> dict[str, Any]:
        if not self.take("<"):
            return {}
        out = self.dictionary()
        self.need(">")
        return out

    # ---- names, regions

    def bind(self, name: str, values: list[Value], at: int) -> None:
        if any(name in s for s in self.scopes):
            self.fail(f"%{name} has a value already", at)
        self.scopes[-1][name] = values

    def value(self) -> Value:
        at = self.at
        m = self.match(VALUE)
        if m is None:
            self.expected("a value")
        for scope in reversed(self.scopes):
            if m[1] in scope:
                values, which = scope[m[1]], int(m[2] or 0)
                if which >= len(values) or (m[2] is None and len(values) > 1):
                    self.fail(f"%{m[1]} has {len(values)} results", at)
                return values[which]
        self.fail(f"%{m[1]} has no value here", at)

    def region(self, args: tuple[tuple[str, Value], ...] = ()) -> Block:
        """`{ ops }`, with its arguments where it has a label; `args`: names that it has already."""
        self.nested(1)
        self.need("{")
        self.scopes.append({name: [v] for name, v in args})
        taken = tuple(v for _, v in args)
        if self.match(LABEL):
            if self.take("("):
                taken += tuple(v for v, _ in (self.many(self.argument) if not self.is_next(")") else ()))
                self.need(")")
            self.need(":")
        out = self.block(taken)
        self.scopes.pop()
        self.need("}")
        self.nested(-1)
        return out

    def block(self, args: tuple[Value, ...]) -> Block:
        ops: list[Operation] = []
        while not self.is_next("}"):
            if self.is_next("^"):
                self.fail("regions of several blocks are not read")
            if self.done():
                self.expected("an operation")
            if ops and ops[-1].name == "return":
                self.fail("there is an operation behind the return")
            ops.append(self.operation())
        if not ops or ops[-1].name != "return":
            self.fail("a block ends with a return")
        return Block(args, ops)

    # ---- operations

    def operation(self) -> Operation:
        at, names = self.at, []
        while self.is_next("%"):
            m = self.match(_RESULT)
            if m is None:
                self.expected("a value")
            names.append((m[1], int(m[2] or 1)))
            if not self.take(","):
                self.need("=")
        if any(n > 1 << 16 for _, n in names):
            self.fail("an operation of so many results", at)
        place = self.place(at)
        if self.is_next('"'):
            name, inputs, attrs, regions, types = self.generic()
        else:
            m = self.match(OPERATION)
            name = canonical(m.group() if m else self.expected("an operation"))
            if not name:
                self.fail(f"operations of the dialect of {m.group() if m else ''} are not read", at)
            inputs, attrs, regions, types = self.pretty(name)
        self.location()
        count = sum(n for _, n in names)
        if isinstance(types, Type):  # of all results
            types = (types,) * count
        if len(types) != count:
            self.fail(f"{name} gives {len(types)} results, and {count} are named", at)
        outputs = tuple(map(Value, types))
        k = 0
        for result, n in names:
            self.bind(result, list(outputs[k : k + n]), at)
            k += n
        return Operation(name, inputs, outputs, flat(attrs), regions, place)

    def operands(self, end: str) -> tuple[Value, ...]:
        out = [] if self.is_next(end) else self.many(self.value)
        self.need(end)
        return tuple(out)

    def generic(self) -> tuple:
        at = self.at
        full = self.string()
        name = canonical(full)
        if not name:
            self.fail(f"the operation {full} is of a dialect that is not read", at)
        self.need("(")
        inputs = self.operands(")")
        attrs = self.properties()
        regions: tuple[Block, ...] = ()
        if self.is_next("["):
            self.fail("successors are not read")
        if self.take("("):
            regions = tuple(self.many(self.region))
            self.need(")")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return name, inputs, attrs, regions, self.types(inputs)

    def types(self, inputs: tuple[Value, ...]) -> Any:
        """What stands behind the colon: the types of the results, or one for all."""
        at = self.at
        if not self.is_next("("):
            found = self.many(self.type)
            if not self.take("->"):
                return tuple(found) if len(found) > 1 else found[0]
            of = Type("function", inputs=tuple(found), items=tuple(self.type_list() if self.is_next("(") else [self.type()]))
        else:
            of = self.function_type()
        if of.inputs != tuple(v.type for v in inputs):
            self.fail(f"the operands are {', '.join(str(v.type) for v in inputs) or 'none'}, not {', '.join(map(str, of.inputs))}", at)
        return of.items


def canonical(name: str) -> str:
    """The name of an operation without its dialect, unless that is chlo; nothing for other dialects."""
    dialect, _, rest = name.partition(".")
    if name in ("return", "call", "func.return", "func.call"):
        return name.rpartition(".")[2]
    if dialect in ("stablehlo", "mhlo"):
        return rest
    if name in HINTS:
        return name
    return name if dialect == "chlo" else ""
