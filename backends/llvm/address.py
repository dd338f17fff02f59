"""Index expressions as LLVM IR: every part is computed at the outermost loop that defines what it reads.

In a vector loop an index falls into a part that is the same for all lanes and a part that differs. Most often lanes
differ by a constant step (`Place.step`), so that a load or store is one of consecutive elements.
"""

from __future__ import annotations

from ingot.backends.llvm.values import Value, literal
from ingot.backends.llvm.writer import Writer
from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Atom, Coef, Div, Dyn, Index, Mod, Param, Var
from ingot.ir.struct import value_type

__all__ = ["Addresses", "Place"]

_TWO52 = 1 << 52


@value_type
class Place:
    """Where lanes read or write: a uniform pointer, plus `step` elements per lane, plus `offsets` (a vector of i64)."""

    pointer: str
    depth: int
    step: int
    offsets: str | None = None


class Addresses(Writer):
    """A writer that knows variables: `vars` by name as (text, depth) or an int (unrolled), `names` the scalars."""

    lanes: int
    lane_var: str | None
    vars: dict[str, tuple[str, int] | int]

    def variable(self, name: str) -> tuple[str, int] | int: ...  # type: ignore[empty-body]
    def parameter(self, name: str) -> tuple[str, int]: ...  # type: ignore[empty-body]
    def scalar(self, name: str) -> Value: ...  # type: ignore[empty-body]

    # -- uniform values ------------------------------------------------------------------------------------------

    def _coef(self, c: Coef) -> tuple[str | int, int]:
        return (c, 0) if isinstance(c, int) else self.parameter(c.name)

    def _atom(self, atom: Atom) -> tuple[str | int, int]:
        if isinstance(atom, Var):
            v = self.variable(atom.name)
            return (v, 0) if isinstance(v, int) else v
        if isinstance(atom, Param):
            return self.parameter(atom.name)
        if isinstance(atom, Dyn):
            known = self.scalar(atom.name)
            return known.text, known.depth
        text, depth = self.uniform(atom.num)
        den, known_at = self._coef(atom.den)
        if isinstance(text, int) and isinstance(den, int):
            return (text // den if isinstance(atom, Div) else text % den), 0
        depth = max(depth, known_at)
        return self.at(depth, f"{'udiv' if isinstance(atom, Div) else 'urem'} i64 {text}, {den}"), depth

    def _terms(self, index: Index) -> tuple[int, list[tuple[str, int]]]:
        """A constant and texts with depths, whose sum is the index."""
        total = 0
        parts: list[tuple[str, int]] = []
        if isinstance(index.const, int):
            total = index.const
        else:
            parts.append(self.parameter(index.const.name))
        for atom, c in index.terms:
            a, depth = self._atom(atom)
            k, kdepth = self._coef(c)
            if isinstance(a, int) and isinstance(k, int):
                total += a * k
                continue
            if a == 0 or k == 0:
                continue
            depth = max(depth, kdepth)
            if k == 1 or a == 1:
                parts.append((str(a if k == 1 else k), depth))
            else:
                parts.append((self.at(depth, f"mul i64 {a}, {k}"), depth))
        return total, parts

    def uniform(self, index: Index) -> tuple[str | int, int]:
        """The value of an index that no lane changes: an int or a text, with the depth that defines it."""
        total, parts = self._terms(index)
        if not parts:
            return total, 0
        parts.sort(key=lambda p: p[1])
        text, depth = parts[0]
        for other, d in parts[1:]:
            depth = max(depth, d)
            text = self.at(depth, f"add i64 {text}, {other}")
        if total:
            text = self.at(depth, f"add i64 {text}, {total}")
        return text, depth

    def pointer(self, base: str, element: str, index: Index) -> tuple[str, int]:
        """base + index elements, each part added at the depth that defines it."""
        total, parts = self._terms(index)
        parts.sort(key=lambda p: p[1])
        text, depth = base, 0
        k = 0
        while k < len(parts):
            here, d = parts[k]
            k += 1
            while k < len(parts) and parts[k][1] == d:
                here = self.at(d, f"add i64 {here}, {parts[k][0]}")
                k += 1
            depth = d
            text = self.at(depth, f"getelementptr {element}, ptr {text}, i64 {here}")
        if total:
            text = self.at(depth, f"getelementptr {element}, ptr {text}, i64 {total}")
        return text, depth

    # -- lanes ---------------------------------------------------------------------------------------------------

    def varies(self, index: Index) -> bool:
        """Whether the index differs between lanes."""
        if not self.lanes:
            return False
        for atom, _ in index.terms:
            if isinstance(atom, Var):
                if atom.name == self.lane_var:
                    return True
            elif isinstance(atom, Dyn):
                if self.scalar(atom.name).lanes:
                    return True
            elif not isinstance(atom, Param) and self.varies(atom.num):
                return True
        return False

    def place(self, base: str, element: str, index: Index) -> Place:
        """Where the lanes of a load or store are."""
        step = 0
        same: list[tuple[Atom, Coef]] = []
        vary: list[tuple[Atom, Coef]] = []
        for atom, c in index.terms:
            if isinstance(atom, Var) and atom.name == self.lane_var and self.lanes:
                if isinstance(c, int):
                    step += c
                else:
                    vary.append((atom, c))
                    continue
                same.append((atom, c))
            elif isinstance(atom, (Div, Mod)) and self.varies(atom.num):
                if self._block(atom) and (isinstance(atom, Div) or isinstance(c, int)):
                    same.append((atom, c))
                    if isinstance(atom, Mod):
                        step += ix.coefficient(atom.num, self.lane_var) * c  # type: ignore
                else:
                    vary.append((atom, c))
            elif isinstance(atom, Dyn) and self.scalar(atom.name).lanes:
                vary.append((atom, c))
            else:
                same.append((atom, c))
        text, depth = self.pointer(base, element, Index(index.const, tuple(same)))
        if not vary:
            return Place(text, depth, step)
        return Place(text, depth, 0, self._offsets(step, vary))

    def _block(self, atom: Div | Mod) -> bool:
        """Whether x/den is the same for all lanes (and x mod den grows by a step): a full group of lanes begins at a
        multiple of the width, and everything else in x, like den, is a multiple of what the lanes span."""
        num, w = atom.num, self.lanes
        step = ix.coefficient(num, self.lane_var)  # type: ignore[arg-type]
        if not isinstance(step, int) or step < 1:
            return False
        span = w * step
        if not isinstance(atom.den, int) or atom.den % span or not isinstance(num.const, int) or num.const % span:
            return False
        for inner, c in num.terms:
            if isinstance(inner, Var) and inner.name == self.lane_var:
                continue
            if not isinstance(c, int) or c % span or not isinstance(inner, (Var, Param, Dyn)):
                return False
        return True

    def lane_ids(self) -> str:
        """0, 1, 2 … by lane."""
        return f"<{', '.join(f'i64 {k}' for k in range(self.lanes))}>"

    def _vector(self, text: str | int, depth: int) -> str:
        return f"splat (i64 {text})" if isinstance(text, int) else self.repeat("i64", text, depth, self.lanes)

    def _offsets(self, step: int, vary: list[tuple[Atom, Coef]]) -> str:
        t = f"<{self.lanes} x i64>"
        out: str | None = None
        if step:
            out = f"<{', '.join(f'i64 {k * step}' for k in range(self.lanes))}>"
        for atom, c in vary:
            part = self._lane_atom(atom)
            if c != 1:
                k, depth = self._coef(c)
                part = self.here(f"mul {t} {part}, {self._vector(k, depth)}")
            out = part if out is None else self.here(f"add {t} {out}, {part}")
        assert out is not None
        return out

    def _lane_atom(self, atom: Atom) -> str:
        if isinstance(atom, Dyn):
            return self.wide(self.scalar(atom.name), self.lanes)
        if isinstance(atom, (Div, Mod)):
            return self._lane_division(self.lane_values(atom.num), atom.den, isinstance(atom, Mod))
        assert isinstance(atom, Var)
        known = self.variable(atom.name)
        text, depth = (known, 0) if isinstance(known, int) else known
        t = f"<{self.lanes} x i64>"
        return self.at(max(depth, self.vector_depth), f"add {t} {self._vector(text, depth)}, {self.lane_ids()}")

    def lane_values(self, index: Index) -> str:
        """The index in every lane, as a vector of i64."""
        t = f"<{self.lanes} x i64>"
        same: list[tuple[Atom, Coef]] = []
        vary: list[tuple[Atom, Coef]] = []
        step = 0
        for atom, c in index.terms:
            if isinstance(atom, Var) and atom.name == self.lane_var and isinstance(c, int):
                step += c
                same.append((atom, c))
            elif self.varies(Index(0, ((atom, 1),))):
                vary.append((atom, c))
            else:
                same.append((atom, c))
        text, depth = self.uniform(Index(index.const, tuple(same)))
        base = self._vector(text, depth)
        if not vary and not step:
            return base
        offsets = self._offsets(step, vary)
        if text == 0:
            return offsets
        return self.at(max(depth, self.vector_depth), f"add {t} {base}, {offsets}") if not vary else self.here(f"add {t} {base}, {offsets}")

    def _lane_division(self, x: str, den: Coef, mod: bool) -> str:
        """x / den or x mod den for lanes of 0 <= x < 2**52, by doubles: exact after one correction."""
        n = self.lanes
        t = f"<{n} x i64>"
        if isinstance(den, int) and den & (den - 1) == 0:
            return self.here(f"and {t} {x}, splat (i64 {den - 1})" if mod else f"lshr {t} {x}, splat (i64 {den.bit_length() - 1})")
        f, b = f"<{n} x double>", f"<{n} x i1>"
        magic = f"splat (i64 {0x4330000000000000})"  # the bits of 2**52, whose last place is 1
        big = "splat (double 0x4330000000000000)"
        bits = self.here(f"or {t} {x}, {magic}")
        xd = self.here(f"fsub {f} {self.here(f'bitcast {t} {bits} to {f}')}, {big}")
        if isinstance(den, int):
            inverse = f"splat (double {literal(1.0 / den, dtypes.f64)})"
            d = f"splat (double {literal(float(den), dtypes.f64)})"
        else:
            text, depth = self.parameter(den.name)
            one = self.at(depth, f"uitofp i64 {text} to double")
            d = self.repeat("double", one, depth, n)
            inverse = self.repeat("double", self.at(depth, f"fdiv double 1.0, {one}"), depth, n)
        self.module.declare(f, f"llvm.floor.v{n}f64", (f,))
        q = self.here(f"call {f} @llvm.floor.v{n}f64({f} {self.here(f'fmul {f} {xd}, {inverse}')})")
        r = self.here(f"fsub {f} {xd}, {self.here(f'fmul {f} {q}, {d}')}")
        low = self.here(f"fcmp olt {f} {r}, zeroinitializer")
        high = self.here(f"fcmp oge {f} {r}, {d}")
        if mod:
            out = self.here(f"select {b} {high}, {f} {self.here(f'fsub {f} {r}, {d}')}, {f} {r}")
            out = self.here(f"select {b} {low}, {f} {self.here(f'fadd {f} {r}, {d}')}, {f} {out}")
        else:
            one = "splat (double 1.0)"
            out = self.here(f"select {b} {high}, {f} {self.here(f'fadd {f} {q}, {one}')}, {f} {q}")
            out = self.here(f"select {b} {low}, {f} {self.here(f'fsub {f} {q}, {one}')}, {f} {out}")
        bits = self.here(f"bitcast {f} {self.here(f'fadd {f} {out}, {big}')} to {t}")
        return self.here(f"and {t} {bits}, splat (i64 {_TWO52 - 1})")
