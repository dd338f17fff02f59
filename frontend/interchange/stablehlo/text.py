"""StableHLO as text, pretty or generic: a module of it.

The two forms may be mixed. What JAX prints is read, debug information too; what other dialects have is kept as it is written where it is
an attribute, and refused where it is an operation.
"""

from __future__ import annotations

import re
from typing import Any

from ingot.interchange.stablehlo.module import Function, Module, Type
from ingot.interchange.stablehlo.operations import LABEL
from ingot.interchange.stablehlo.pretty import Pretty

__all__ = ["read_text"]

_ALIAS = re.compile(r"([#!][\w$.-]+)\s*=(?!=)")


class _Text(Pretty):
    def __init__(self, text: str):
        super().__init__(text)
        self.functions: dict[str, Function] = {}

    # ---- modules and functions

    def module(self) -> Module:
        name = "main"
        attrs: dict[str, Any] = {}
        while not self.done():
            if self.is_next("#") or self.is_next("!"):
                self.alias()
            elif self.take_word("module"):
                name = self.symbol() if self.is_next("@") else name
                attrs = self.dictionary() if self.take_word("attributes") else attrs
                self.need("{")
                self.top("}")
                self.need("}")
                self.location()
            elif self.is_next('"builtin.module"'):
                self.string()
                self.need("(")
                self.need(")")
                found = self.properties()
                name = found.get("sym_name", name)
                self.need("(")
                self.need("{")
                if self.match(LABEL):
                    self.need(":")
                self.top("}")
                self.need("}")
                self.need(")")
                attrs = self.dictionary() if self.is_next("{") else {}
                self.need(":")
                self.function_type()
                self.location()
            else:
                self.top("")
        if not self.functions:
            self.fail("there is no function")
        return Module(name, self.functions, attrs)

    def alias(self) -> None:
        m = self.match(_ALIAS)
        if m is None:
            self.expected("an alias")
        self.aliases[m[1]] = self.attribute()

    def top(self, end: str) -> None:
        """Functions, up to a bracket or what else stands around modules."""
        while not self.done() and not (end and self.is_next(end)):
            if self.is_next("#") or self.is_next("!"):
                if not end:
                    return
                self.alias()
            elif self.take_word("func.func"):
                self.function()
            elif self.is_next('"func.func"'):
                self.generic_function()
            elif self.take_word("sdy.mesh"):
                self.symbol()
                self.need("=")
                self.balanced()
                if self.is_next("{"):
                    self.balanced()
                self.location()
            else:
                self.expected("a function")

    def function(self) -> None:
        at = self.at
        for word in ("public", "private", "nested"):
            self.take_word(word)
        name = self.symbol()
        self.scopes = [{}]
        self.need("(")
        args, arg_attrs = [], []
        if not self.is_next(")"):
            for value, attrs in self.many(self.argument):
                args.append(value)
                arg_attrs.append(attrs)
        self.need(")")
        results: list[tuple[Type, dict[str, Any]]] = []
        if self.take("->"):
            if self.take("("):
                results = [] if self.is_next(")") else self.many(lambda: (self.type(), self.dictionary() if self.is_next("{") else {}))
                self.need(")")
            else:
                results = [(self.type(), {})]
        if self.take_word("attributes"):
            self.dictionary()
        if not self.is_next("{"):
            self.fail(f"the function @{name} has no body", at)
        self.need("{")
        body = self.block(tuple(args))
        self.need("}")
        self.location()
        self.enter(Function(name, body, tuple(a.type for a in args), tuple(t for t, _ in results), tuple(arg_attrs),
                            tuple(a for _, a in results)), at)  # fmt: skip

    def generic_function(self) -> None:
        at = self.at
        self.string()
        self.need("(")
        self.need(")")
        found = self.properties()
        self.scopes = [{}]
        self.need("(")
        body = self.region()
        self.need(")")
        found |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        self.function_type()
        self.location()
        of, name = found.get("function_type"), found.get("sym_name")
        if not isinstance(of, Type) or of.kind != "function" or not isinstance(name, str):
            self.fail("a function needs sym_name and function_type", at)
        attrs = [found.get(k) or [{}] * len(v) for k, v in (("arg_attrs", of.inputs), ("res_attrs", of.items))]
        self.enter(Function(name, body, of.inputs, of.items, tuple(attrs[0]), tuple(attrs[1])), at)

    def enter(self, f: Function, at: int) -> None:
        if f.name in self.functions:
            self.fail(f"the function @{f.name} is there twice", at)
        if tuple(a.type for a in f.body.args) != f.inputs:
            self.fail(f"the function @{f.name} takes other types than its body", at)
        returned = tuple(v.type for v in f.body.ops[-1].inputs) if f.body.ops else ()
        if returned != f.outputs:
            self.fail(f"the function @{f.name} returns other types than it says", at)
        self.functions[f.name] = f


def read_text(text: str) -> Module:
    """The module that a text is. StablehloError, with line and column, where it is none."""
    return _Text(text).module()
