"""Random programs over every dtype and unusual layouts, against torch: eager on the interpreter, on machine code, and compiled.

Expanded, overlapping, reversed and empty tensors; casts between all dtypes; writes in place through views of views.
INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import ingot
from ingot.runtime import plans, recorder

torch = pytest.importorskip("torch")
SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "40"))
FLOATS, INTS = ("float32", "float64", "float16", "bfloat16"), ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTS, "bool", "complex64", "complex128")
ROOM = {"float16": 2e-2, "bfloat16": 1.5e-1, "float32": 2e-4, "complex64": 2e-4}
VIEWS = """
{x}.narrow({d}, {a}, {b}); {x}.transpose({d}, -1); {x}.unsqueeze({d}); {x}.T; {x}.unsqueeze(0).expand(2, *{x}.shape); {x}[..., ::2];
{x}.squeeze(); {x}.movedim(0, -1); {x}.unfold({d}, {half}, 1); {x}.diagonal(); {x}.split(2, {d})[-1];
{x}.real; {x}.view_as({x}); {x}[None, ..., None]; {x}.select({d}, {k}); {x}.unbind({d})[0]; {x}.tensor_split(2, {d})[0]
""".replace("\n", " ")
OF_CONTIGUOUS = "; {x}.flatten(); {x}.reshape(-1); {x}.view(-1)"  # of others it is open whether they are copies
VIEWS_OF_NUMBERS = "{x}.unsqueeze(0); {x}.expand(2, 3); {x}.view(1); {x}.reshape(1, 1)"
ANY = """
{x} + {y}; {x} - {y}; {x} * {y}; m.where({x} == {y}, {x}, {y}); m.maximum({x}, {y}); m.minimum({x}, {y}); {x} == {y}; {x}.clone();
{x}.flip({d}); {x}.roll(1, {d}); m.cat([{x}, {x}], {d}); m.stack([{x}, {x}], {d}); {x}.sum({d}); {x}.sum(); {x}.cumsum({d}); {x}.abs();
-{x}; {x}.sort({d}, stable=True)[0]; {x}.any({d}); {x}.all(); {x}.index_select({d}, m.tensor({some})); {x}.tril(); {x}.clamp(-1, 1);
{x}.repeat_interleave(2, {d}); {x}.sign(); {x}.square(); m.logical_xor({x}, {y}); {x}.contiguous(); m.diff({x}); {x}.logical_not();
m.nn.functional.pad({x}, (1, -1)); {x}.masked_fill({x} != {x}, 3); {x}.nan_to_num(); {x}.tile(2); m.zeros_like({x}) + {y}; {x}.ne({y});
{x}.addcmul({x}, {y}); m.lerp({x}, {x}, 0.25); m.ones_like({x}).cumprod({d}); {x}.mean({d}); {x}.prod({d})
""".replace("\n", " ")
ORDERED = "; {x}.amax({d}); {x}.cummax({d})[0]; {x}.cummin({d})[0]"
OF_FLOATS = "; m.tanh({x}); m.sin({x}); m.exp(-m.abs({x})); m.sigmoid({x}); m.cos({x}); {x} / 4; {x} @ {x}.mT"
OF_INTS = """; {x} // 3; {x} % 5; {x} & {y}; {x} | 3; {x} ^ {y}; {x} << 1; {x} >> 1; ~{x}; {x} / 4; {x} < {y}; {x} // -2; m.fmod({x}, 3);
m.bitwise_right_shift({x}, 2); m.gcd({x}, {y}); {x}.pow(2)""".replace("\n", " ")
WRITES = """
{x}.add_(1); {x}.mul_(2); {x}.copy_({y}); {x}.fill_(1); {x}.zero_(); {x}.sub_({y}); {x}.clamp_(-2, 2); {x}.neg_(); {x}.abs_();
{x}.masked_fill_({x} == 1, 0); {x}[...] = {y}; {x}.mul_({y})""".replace("\n", " ")
WRITES_OF_PARTS = """; {x}[0] = 2; {x}[-1] += 1; {x}[::2] = 0; {x}.index_fill_(0, m.tensor([0]), 3); {x}[m.tensor([0])] = 1;
{x}.index_add_(0, m.tensor([0, 0]), m.ones_like({x}[:1]).expand(2, *{x}.shape[1:]))""".replace("\n", " ")
SHAPES = ((3, 4), (2, 3, 2), (5,), (), (0, 3), (1, 4), (4, 1, 2), (2, 0), (7, 3))


class Maker:
    """A program that grows line by line; what torch refuses is not in it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.inputs: list[tuple[np.ndarray, str]] = []
        self.values: dict[str, Any] = {}
        for _ in range(3):
            shape, dtype = self.pick(SHAPES), self.pick(DTYPES)
            array = self.rng.integers(-4, 5, shape)
            self.inputs.append((array if dtype in INTS else array / 4, dtype))
        for i, x in enumerate(self.given(torch)):
            self.values[f"x{i}"] = x

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def given(self, m: Any) -> list[Any]:
        wide = [(m.tensor(a.tolist(), dtype=m.int64 if d in INTS else m.float64).reshape(a.shape), d) for a, d in self.inputs]
        return [x.to(getattr(m, d)) for x, d in wide]

    def name(self) -> str:
        return self.pick(list(self.values))

    def like(self, t: Any, apart: bool) -> str:
        """A value that broadcasts with `t`, if one is found; `apart`, of other memory, or of the same elements."""
        for _ in range(8):
            n = self.name()
            try:
                torch.broadcast_shapes(t.shape, self.values[n].shape)
                if apart and t.dtype in (torch.uint8, torch.int8) and self.values[n].is_floating_point():
                    continue  # torch leaves what is out of range to the machine
                if not apart or self.values[n] is t or self.values[n].untyped_storage().data_ptr() != t.untyped_storage().data_ptr():
                    return n
            except RuntimeError:
                pass
        return "0.5" if self.rng.random() < 0.5 else "2"

    def filled(self, templates: str, x: str, apart: bool = False) -> str:
        """One of the templates, with what its letters stand for."""
        t = self.values[x]
        d = int(self.rng.integers(max(t.ndim, 1)))
        n = t.shape[d] if t.ndim else 1
        a = int(self.rng.integers(n + 1))
        some = [int(k) for k in self.rng.integers(0, max(n, 1), 3)]
        words: dict[str, Any] = {"x": x, "y": self.like(t, apart), "d": d, "a": a, "b": int(self.rng.integers(n - a + 1))}
        words.update(k=some[0], half=max(1, n // 2))
        return str(self.pick(templates.strip().split("; "))).format(some=some, to=self.pick(DTYPES), **words)

    def view(self, x: str) -> str:
        t = self.values[x]
        return self.filled((VIEWS + OF_CONTIGUOUS if t.is_contiguous() else VIEWS) if t.ndim else VIEWS_OF_NUMBERS, x)

    def fresh(self, x: str) -> str:
        dtype = self.values[x].dtype
        if self.rng.random() < 0.2 and not dtype.is_complex:
            line = self.filled("{x}.to(m.{to})", x)
            return line.replace("uint8", "int32").replace("int8", "int32") if dtype.is_floating_point else line  # out of range, see below
        kinds = OF_FLOATS + ORDERED if dtype.is_floating_point else OF_FLOATS if dtype.is_complex else OF_INTS + ORDERED
        return self.filled(ANY + kinds if dtype != torch.bool else ANY, x)

    def write(self, x: str) -> str:
        t = self.values[x]
        return self.filled(WRITES + WRITES_OF_PARTS if t.ndim and t.shape[0] else WRITES, x, apart=True)

    def step(self) -> None:
        x = self.name()
        r = self.rng.random()
        t = self.values[x]
        if r < 0.3 and shares_memory(t):
            return
        line = self.write(x) if r < 0.3 else f"v{len(self.lines)} = {self.view(x) if r < 0.55 else self.fresh(x)}"
        space = {"m": torch, **self.values}
        keep = {k: v.clone() for k, v in self.values.items()} if r < 0.3 else {}
        try:
            exec(line, space)
            made = {k: v for k, v in space.items() if isinstance(v, torch.Tensor)}
            big = any(v.numel() > 400 or (v.numel() and float(v.abs().max()) > 1e4) for v in made.values() if v.dtype != torch.bool)
            if any(v.dtype is torch.complex32 or v.dtype.is_floating_point and not bool(v.isfinite().all()) for v in made.values()) or big:
                raise RuntimeError("not tame")
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
            if keep:  # a write may have been done in part: the program starts again without it
                self.again()
            return
        self.lines.append(line)
        self.values = made

    def again(self) -> None:
        self.values = {f"x{i}": x for i, x in enumerate(self.given(torch))}
        for line in self.lines:
            space = {"m": torch, **self.values}
            exec(line, space)
            self.values = {k: v for k, v in space.items() if isinstance(v, torch.Tensor)}

    def run(self, m: Any, xs: Any) -> list[Any]:
        space = {"m": m, **{f"x{i}": x for i, x in enumerate(xs)}}
        for line in self.lines:
            exec(line, space)
        return [space[k] for k in self.values]


def shares_memory(t: Any) -> bool:
    """Whether elements may lie at one place: what a write does is then torch's order of writing."""
    reach = 0
    for stride, n in sorted((s, n) for n, s in zip(t.shape, t.stride()) if n > 1):
        if stride <= reach:
            return True
        reach += (n - 1) * stride
    return False


def array(t: Any) -> np.ndarray:
    t = t.detach()
    t = t.resolve_conj().resolve_neg() if isinstance(t, torch.Tensor) else t
    t = t.float() if "bfloat16" in str(t.dtype) else t
    return np.array(t.numpy())


def compare(maker: Maker, found: list[Any], wanted: list[Any], how: str) -> None:
    room = max([ROOM.get(str(t.dtype).split(".")[1], 1e-9) for t in wanted])
    for name, a, b in zip(maker.values, found, wanted):
        text = f"{how}: {name} of\n" + "\n".join(maker.lines)
        kinds = [(tuple(t.shape), str(t.dtype).split(".")[1]) for t in (a, b)]
        assert kinds[0] == kinds[1], text
        if b.dtype.is_floating_point or b.dtype.is_complex:
            np.testing.assert_allclose(array(a), array(b), rtol=room, atol=room, err_msg=text)
        else:
            np.testing.assert_array_equal(array(a), array(b), err_msg=text)


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_layouts(seed: int, monkeypatch: Any) -> None:
    print(f"seed {seed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker = Maker(seed)
        for _ in range(30):
            maker.step()
        wanted = maker.run(torch, maker.given(torch))
        monkeypatch.setenv("INGOT_BACKEND", "interpreter")
        plans.clear()
        compare(maker, maker.run(ingot, maker.given(ingot)), wanted, "on the interpreter")
        recorder.flush()
        plans.clear()
        monkeypatch.delenv("INGOT_BACKEND")
        if seed % 8 == 0:
            compare(maker, maker.run(ingot, maker.given(ingot)), wanted, "eager")
            compare(maker, ingot.compile(lambda *xs: maker.run(ingot, xs))(*maker.given(ingot)), wanted, "compiled")
