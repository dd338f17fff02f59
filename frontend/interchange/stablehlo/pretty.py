"""The forms that operations have of their own."""

from __future__ import annotations

import re
from typing import Any

from ingot.interchange.stablehlo.module import Block, Operation, Type, Value, tensor
from ingot.interchange.stablehlo.operations import HINTS, OPERATION, VALUE, Operations, canonical

__all__ = ["Pretty"]

_NUMBER = re.compile(r"-?\d+(?![.\dxeE])")
_FORMAT = re.compile(r"e(\d{1,9})m(\d{1,9})")
_RANGE = re.compile(r"(\d{1,19})\s*:\s*(\d{1,19})(?:\s*:\s*(\d{1,19}))?")
_WINDOW = {"stride": "window_strides", "pad": "padding", "lhs_dilate": "lhs_dilation", "rhs_dilate": "rhs_dilation",
           "reverse": "window_reversal"}  # fmt: skip
# what `name =` behind the operands of an op stands for
_CLAUSES = {
    "broadcast_in_dim": {"dims": "broadcast_dimensions"}, "dynamic_broadcast_in_dim": {"dims": "broadcast_dimensions"},
    "transpose": {"dims": "permutation"}, "reverse": {"dims": "dimensions"}, "broadcast": {"sizes": "broadcast_sizes"},
    "iota": {"dim": "iota_dimension"}, "dynamic_iota": {"dim": "iota_dimension"}, "concatenate": {"dim": "dimension"},
    "get_dimension_size": {"dim": "dimension"}, "set_dimension_size": {"dim": "dimension"}, "dynamic_slice": {"sizes": "slice_sizes"},
    "pad": {"low": "edge_padding_low", "high": "edge_padding_high", "interior": "interior_padding"},
    "fft": {"type": "fft_type", "length": "fft_length"}, "rng": {"distribution": "rng_distribution"},
    "rng_bit_generator": {"algorithm": "rng_algorithm"}, "einsum": {"config": "einsum_config"}, "unary_einsum": {"config": "einsum_config"},
    "cholesky": {"lower": "lower"}, "dot": {"precision": "precision_config"},
    "dot_general": {"precision": "precision_config", "algorithm": "algorithm", "contracting_dims": "contracting_dimensions",
                    "batching_dims": "batching_dimensions"},
    "chlo.top_k": {"k": "k", "is_stable": "is_stable"}, "reduce_precision": {"format": "format"},
}  # fmt: skip


class Pretty(Operations):
    """A text of operations in either form."""

    def pretty(self, name: str) -> tuple:
        if name in HINTS:
            return self.hint()
        special = getattr(self, "_" + name.replace(".", "_"), None)
        if special is not None:
            return special()
        inputs, attrs = self.clauses(name)
        attrs |= self.dictionary() if self.is_next("{") else {}
        if name == "return" and not inputs:
            return (), attrs, (), ()
        self.need(":")
        types = self.types(inputs)
        if name == "return":
            return inputs, attrs, (), ()
        if name == "select" and len(inputs) == 3 and isinstance(types, tuple) and len(types) == 2:
            types = types[1:]
        return inputs, attrs, (), types

    def clauses(self, name: str) -> tuple[tuple[Value, ...], dict[str, Any]]:
        """Operands, `name = value` and what else is said before the attributes."""
        inputs: list[Value] = []
        attrs: dict[str, Any] = {}
        closed = name == "chlo.top_k"
        if closed:
            self.need("(")
        known = _CLAUSES.get(name, {})
        while not (self.is_next(":") or self.is_next("{") or self.is_next("}") or self.is_next(")")):
            at = self.at
            if self.is_next("%"):
                inputs.append(self.value())
                if self.is_next("[") and name in ("slice", "get_tuple_element"):
                    attrs |= self.ranges() if name == "slice" else self.place_in_tuple()
            elif (m := self.match(OPERATION)) is not None:
                word = m.group()
                if name == "return":
                    self.at = at
                    break  # the next operation
                if name == "compare" and word not in known:
                    attrs["compare_type" if "comparison_direction" in attrs else "comparison_direction"] = word
                elif word in known and word not in attrs and self.take("="):
                    attrs |= self.clause(known[word])
                else:
                    self.at = at
                    self.expected(f"an operand or attribute of {name}")
            else:
                self.expected(f"an operand or attribute of {name}")
            if not self.take(",") and not self.is_next("dim") and not self.is_next("sizes"):
                break
        if closed:
            self.need(")")
        return tuple(inputs), attrs

    def clause(self, name: str) -> dict[str, Any]:
        if name == "format":
            m = self.match(_FORMAT)
            if m is None:
                self.expected("a format such as e5m10")
            return {"exponent_bits": int(m[1]), "mantissa_bits": int(m[2])}
        if name == "algorithm":
            return {name: self.struct()}
        if name in ("contracting_dimensions", "batching_dimensions"):
            left = self.words()
            if not self.take_word("x"):
                self.expected("'x'")
            return {f"lhs_{name}": left, f"rhs_{name}": self.words()}
        return {name: self.words()}

    def words(self) -> Any:
        """A number, a word, a text, or a list of such."""
        if self.take("["):
            self.nested(1)
            out = [] if self.is_next("]") else self.many(self.words)
            self.nested(-1)
            self.need("]")
            return out
        m = self.ahead(OPERATION)
        if m is not None and m.group() not in ("true", "false", "dense", "array"):
            return self.word()
        if self.is_next('"'):
            return self.string()
        return self.integer() if self.ahead(_NUMBER) else self.attribute()

    def ranges(self) -> dict[str, Any]:
        """`[start:limit:stride, …]`."""
        self.need("[")

        def one() -> tuple[int, int, int]:
            m = self.match(_RANGE)
            if m is None:
                self.expected("start:limit")
            return int(m[1]), int(m[2]), int(m[3] or 1)

        found = [] if self.is_next("]") else self.many(one)
        self.need("]")
        return dict(zip(("start_indices", "limit_indices", "strides"), map(list, zip(*found)))) if found else {
            "start_indices": [], "limit_indices": [], "strides": []}  # fmt: skip

    def place_in_tuple(self) -> dict[str, Any]:
        self.need("[")
        out = {"index": self.integer()}
        self.need("]")
        return out

    # ---- operations of a form of their own

    def hint(self) -> tuple:
        """`%x <@mesh, …> : type`."""
        value = self.value()
        self.balanced()
        self.need(":")
        return (value,), {}, (), (self.type(),)

    def _constant(self) -> tuple:
        attrs = self.dictionary() if self.is_next("{") else {}
        attrs["value"] = self.attribute()
        types = self.types(()) if self.take(":") else attrs["value"].type if hasattr(attrs["value"], "type") else self.expected("a tensor")
        return (), attrs, (), types

    _chlo_constant = _constant

    def _call(self) -> tuple:
        attrs: dict[str, Any] = {"callee": self.symbol()}
        self.need("(")
        inputs = self.operands(")")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return inputs, attrs, (), self.types(inputs)

    def _custom_call(self) -> tuple:
        attrs: dict[str, Any] = {"call_target_name": self.symbol()}
        self.need("(")
        inputs = self.operands(")")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return inputs, attrs, (), self.types(inputs)

    def _composite(self) -> tuple:
        attrs: dict[str, Any] = {"name": self.string()}
        inputs = tuple(self.many(self.value)) if self.is_next("%") else ()
        regions: tuple[Block, ...] = ()
        if self.take("("):
            regions = tuple(self.many(self.region))
            self.need(")")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return inputs, attrs, regions, self.types(inputs)

    def _convolution(self) -> tuple:
        self.need("(")
        inputs = self.operands(")")
        if not self.take_word("dim_numbers"):
            self.expected("dim_numbers")
        self.need("=")
        attrs = self.convolution_dims(closed=False)
        self.need(",")
        if not self.take_word("window"):
            self.expected("window")
        self.need("=")
        self.need("{")
        while not self.is_next("}"):
            word = self.word()
            if word not in _WINDOW:
                self.fail(f"a window has no {word}")
            self.need("=")
            attrs[_WINDOW[word]] = self.words()
            if not self.take(","):
                break
        self.need("}")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return inputs, attrs, (), self.types(inputs)

    def _while(self) -> tuple:
        names, inputs = [], []
        self.need("(")
        while not self.is_next(")"):
            at = self.at
            m = self.match(VALUE)
            if m is None or m[2]:
                self.expected("a value")
            self.need("=")
            names.append((m[1], at))
            inputs.append(self.value())
            if not self.take(","):
                break
        self.need(")")
        types: tuple[Type, ...] = ()
        if self.take(":"):
            at = self.at
            types = tuple(self.many(self.type))
            if types != tuple(v.type for v in inputs):
                self.fail("the types are not those of the operands", at)
        attrs = self.dictionary() if self.take_word("attributes") else {}
        regions = []
        for word in ("cond", "do"):
            if not self.take_word(word):
                self.expected(repr(word))
            regions.append(self.region(tuple((n, Value(t)) for (n, _), t in zip(names, types))))
        return tuple(inputs), attrs, tuple(regions), types

    def _chlo_scan(self) -> tuple:
        self.need("(")
        inputs = self.operands(")")
        if not self.take_word("inits"):
            self.expected("'inits'")
        self.need("(")
        inputs += self.operands(")")
        if not self.take_word("dimension"):
            self.expected("'dimension'")
        self.need("=")
        attrs: dict[str, Any] = {"dimension": self.integer()}
        attrs |= self.dictionary() if self.take_word("attributes") else {}
        regions = (self.region(),)
        self.need(":")
        return inputs, attrs, regions, self.types(inputs)

    def _reduce(self) -> tuple:
        inputs, inits = [], []

        def pair() -> None:
            self.need("(")
            inputs.append(self.value())
            if not self.take_word("init"):
                self.expected("'init'")
            self.need(":")
            inits.append(self.value())
            self.need(")")

        self.many(pair)
        name = ""
        if self.take_word("applies"):
            m = self.match(OPERATION)
            name = canonical(m.group() if m else self.expected("an operation"))
        if not self.take_word("across") or not self.take_word("dimensions"):
            self.expected("'across dimensions'")
        self.need("=")
        attrs: dict[str, Any] = {"dimensions": self.words()}
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        given = (*inputs, *inits)
        types = self.types(given)
        if name:
            return given, attrs, (self.applied(name, inits[0].type),), types
        if not self.take_word("reducer"):
            self.expected("'reducer'")
        self.scopes.append({})
        pairs = []
        while self.take("("):
            left = self.defined()
            self.location()
            self.need(",")
            right = self.defined()
            self.location()
            pairs.append((left, right))
            self.need(")")
        args = tuple(a for a, _ in pairs) + tuple(b for _, b in pairs)
        self.nested(1)
        self.need("{")
        body = self.block(args)
        self.need("}")
        self.nested(-1)
        self.scopes.pop()
        return given, attrs, (body,), types

    def applied(self, name: str, like: Type) -> Block:
        """The region that one operation on two scalars is."""
        one = tensor(like.element)
        a, b, out = Value(one), Value(one), Value(one)
        place = self.place()
        return Block((a, b), [Operation(name, (a, b), (out,), {}, (), place), Operation("return", (out,), (), {}, (), place)])

    def _tuple(self) -> tuple:
        inputs, attrs = self.clauses("tuple")
        attrs |= self.dictionary() if self.is_next("{") else {}
        self.need(":")
        return inputs, attrs, (), (self.type(),)

    def _optimization_barrier(self) -> tuple:
        attrs = self.dictionary() if self.is_next("{") else {}
        if self.take("("):
            self.need(")")
            return (), attrs, (), ()
        inputs = tuple(self.many(self.value))
        self.need(":")
        return inputs, attrs, (), tuple(self.many(self.type))
