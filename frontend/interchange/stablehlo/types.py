"""Types as texts write them."""

from __future__ import annotations

import re
from typing import Any

from ingot.interchange.stablehlo.module import DTYPES, Type
from ingot.interchange.stablehlo.source import Source

__all__ = ["MOST", "Types"]

_ELEMENT = re.compile(r"complex<f(?:32|64)>|(?:f|bf|i|ui|si)\d+\w*|index")
_DIMS = re.compile(r"(\*|(?:\d{1,19}|\?)(?=x))x")
_DIALECT = re.compile(r"[#!]([A-Za-z_][\w$.]*)")
_WORD = re.compile(r"[A-Za-z_][\w$.]*")
MOST = 1 << 46  # bytes of one tensor: what is larger is a mistake, or worse


class Types(Source):
    """A text of types."""

    def attribute(self) -> Any:
        """An attribute, whatever its kind."""
        raise NotImplementedError

    def type(self) -> Type:
        """A type."""
        start = self.at
        if self.is_next("("):
            return self.function_type()
        if self.is_next("!"):
            m = self.match(_DIALECT)
            name = m[1] if m else self.expected("the name of a type")
            body = self.balanced() if self.is_next("<") else ""
            if name in ("stablehlo.token", "mhlo.token"):
                return Type("token")
            return Type(f"!{name}{body}")
        m = self.ahead(_WORD)
        word = m.group() if m else self.expected("a type")
        if word == "tensor":
            self.match(_WORD)
            return self.tensor_type(start)
        if word == "tuple":
            self.match(_WORD)
            self.need("<")
            self.nested(1)
            items = [] if self.is_next(">") else self.many(self.type)
            self.nested(-1)
            self.need(">")
            return Type("tuple", items=tuple(items))
        if word == "none":
            self.match(_WORD)
            return Type("none")
        return Type("tensor", self.element())  # a number on its own, as attributes have

    def tensor_type(self, start: int) -> Type:
        self.need("<")
        shape: list[int | None] | None = []
        while (m := self.match(_DIMS)) is not None:
            if m[1] == "*":
                shape = None
                break
            assert shape is not None
            shape.append(None if m[1] == "?" else int(m[1]))
            if len(shape) > 64:
                self.fail("a tensor of more than 64 dims", start)
        element = self.element()
        if self.take(","):
            self.attribute()
        self.need(">")
        out = Type("tensor", element, None if shape is None else tuple(shape))
        dtype = out.dtype
        if out.numel * (8 if dtype is None else dtype.itemsize) > MOST:
            self.fail(f"{out} is larger than anything that fits in memory", start)
        return out

    def element(self) -> str:
        if self.is_next("!"):
            m = self.match(_DIALECT)
            return f"!{m[1]}{self.balanced()}" if m and self.is_next("<") else self.expected("a type")
        m = self.match(_ELEMENT)
        if m is None:
            self.expected("the type of a number")
        name = m.group()
        name = f"i{name[2:]}" if name.startswith("si") else name
        if name not in DTYPES:
            self.fail(f"the element type {name} is not known")
        return name

    def function_type(self) -> Type:
        """`(types) -> type`, or `-> (types)`."""
        self.nested(1)
        inputs = self.type_list()
        self.need("->")
        outputs = self.type_list() if self.is_next("(") else [self.type()]
        self.nested(-1)
        return Type("function", items=tuple(outputs), inputs=tuple(inputs))

    def type_list(self) -> list[Type]:
        self.need("(")
        out = [] if self.is_next(")") else self.many(self.type)
        self.need(")")
        return out

    def many(self, item: Any) -> list[Any]:
        """One or more, with commas between them."""
        out = [item()]
        while self.take(","):
            out.append(item())
        return out
