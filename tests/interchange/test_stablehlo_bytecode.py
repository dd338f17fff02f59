"""The reader of portable bytecode: the same modules as texts give, old files, and what it refuses. Files were written by JAX 0.10."""

from __future__ import annotations

import base64
import random
import re
import zlib

import numpy as np
import pytest

from ingot.interchange.stablehlo.bytecode import Cursor
from ingot.interchange.stablehlo.module import Dense, Module, Opaque, StablehloError
from ingot.interchange.stablehlo.portable import read_bytecode
from ingot.interchange.stablehlo.text import read_text
from ingot.interchange.stablehlo.vhlo import ATTRIBUTES
from ingot.stablehlo import load

# a sort, a loop, a product, a gather and a window's choice: zlib, base 85
PACKED = (
    "c-m!D4Tu|65Z<?w$#Z?K%et&fT%Jn|=edTv7>`<dwJo-os<mEgX-h3<*h}_$Y4dmaX+5MCDIy{wA|fIpA}U3Wqn1NNM5PoFQ4tXl5fKql5fKp)kveaa)YERVGxNTg_jbN-"
    "lHGadFL#@JdeK}xzU|JL^3mdCaoyw%8k<6fIR*l<mgD(BZaiO@TEB72w(UFMNBv%Xf-"
    "Q4l3D2@DVX4b=MiKcOr3Bsd@rAFvZz(st>6;V`N(SE~M<3WrrxZkxqzhtZQ0F+pNdhtBP%5B{a;!iJ-"
    "&4k+Tc{#S8HU1w(4y`f&K>&rp6_|waXkGsBfxPvvl~NslRm9We$agm<=8Cd<^9LyLrk7v@(GkrKO=QLt-E*V1sl-afjA-"
    "UzI@P=Cz*VhxdP?0rd(%Y0r-ZEo3dN7ShSgjQ@9S-%UieO26=l9H%h*90=Qw0<0kSZ_T}FFxJ4cicnhtCcU;<K73^P>l^C~4`;c1AR^*We-YV^uS{<m!?l^8&;hsggG>*6"
    "94mrkfC(ht*+=F}NqYU@U#~B{LgYu~y&SKdW1&kzrUTr#gO1@}fMZRKUEMGP8P;M+3X8@lBo~;cp0|GQuz=f>Io$`omP?im|9t)i8sB{E6Hgd+n;3muYfS-"
    "S9!kb^n7TK@lqU_3kP6EpXv~#p$bOD|_mptyB69@(dhM^NmjtyLD;8bZ~UT6Z@nxkL@9&<0%QS!_6gz2ihQol;aCHHCtUXy?)R^__ub$3!BHztU;iucRSI>Y0#qz8Dy6++"
    "%k!GrQ1vL~6rbUkENh=yr}%ney41j98XS=$c*ZDs>U<Ya-"
    "93J4gYX{Zf`wJii@Q)Px$=%!xg$ab^!jHe#pz)W)&1D^T_AU^}vV;XGDkOHt(=}6W{tVpa0NLdR^r}U(H5R+H>oEyk3Lr|R{?@*-"
    "i(mve*ffF24J`_P%ql{D9s=I)gFBs{&bP{?3sf6dJidL!Ufk~q)6&;|~J*zaO05H;1V4~@Z^b26}j5Mv%OBu*R5R^{&#F=I7eNxhyIl)s(N>u+j%}6VZ0j9`j(^u%U5@Sa"
    "CS{1nCn95*inY*?HJarxn2TUT)vWlRh>F@J$iXeiQM-hsUIOWHPl7S*k1n6%=olcA^#26qpSi>4ItZ`8cYv>)3AQ|v@>5-"
    "5S$H$Zh5>uqTxoc0Jr%r(#(8Q<>iyClC(FA0Hd8Jwba>%&7&r*a)?EjFoh9t>n(u>qS>2-`SQ>de@G*MvMkC#1^pV(wt-"
    "k2p^H)CgIG3)v{3r%_rnIdE4Gj73mJYkN78$2&WFXKA47x=at+OFlf8B5r6{aU?OYidUq>MgC&s`l%#R%tc6y{OrvSG3lNd;LyRMU_^g9d%+AM%Aiv-MAiClB)TBv!eW5r"
    "xjHzQMXsFHOtjnV{k&XUrDxAqIzBVUMFgH+pTT_R$IODp|}}$BFf#Uo_#d#B!_le1AlCxR!>R~MZJZ%qpBKxYPwxtQfQ&qXcrnsCfiHeyf#01bG=2+>29VVYRpxm&7%go{"
    "f2h9*1K*#EKvX2;po1}emCxxy9-e}F1K6trADjMUZ`~&T7$%xZ1x*vBHXL>YNW@%SSN1RYs66<R-RXOdUP&1?dE}qo3%=v7*@-"
    "Q^z?v3VXjqODy+f(Rbs6S7c?Mw8!?Tcx73c6=4+TtC+Z|-T8kG)qiAZ)SgX^HmUiE;sWrV_r^+t?NlT+ey*G+3oHShjf21RPFpNaTPTZw=P=3CpwL7(=Q7>N0UK`{O-"
    "Y`3ginCfHq90wmKSxrIPP}+dH0FVFLjnKO`o(HqoJ|J37A0w`itHt?7U}gXPJjB@*WbWz@H_kgf5PkV7rccZzX9*U3Y@Xey#M#vmGfs-"
    ";5~8r+tY8o4L{@izu@WzxcVXf`iA)K`_u2f4L@X-msgh0E-(MIvV3Ow9}m&h=l"
)
DATA = zlib.decompress(base64.b85decode(PACKED))


def shown(m: Module) -> list:
    """A module as plain data, values by number."""
    out: list = []
    for f in m.functions.values():
        numbers: dict = {}
        stack = [f.body]
        while stack:
            block = stack.pop(0)
            for a in block.args:
                numbers[a] = len(numbers)
            for o in block.ops:
                numbers.update((v, len(numbers) + i) for i, v in enumerate(o.outputs))
                stack += o.regions
                out.append((f.name, o.name, [str(v.type) for v in o.inputs], [str(v.type) for v in o.outputs]))
    return out


def test_a_file():
    module = load(DATA)
    x = np.array([[3, 1, 2], [9, 7, 8]], np.float32)
    total, ordered = module(x)
    np.testing.assert_allclose(total.numpy(), (np.sort(x, 1) @ np.sort(x, 1).T).sum() * 4)
    np.testing.assert_array_equal(ordered.numpy(), np.sort(x, 1))


@pytest.mark.parametrize(
    "data, value",
    [("03", 1), ("01", 0), ("ff", 127), ("0201", 64), ("fe" + "ff", 16383), ("040002", 16384), ("00" + "ff" * 8, 2**64 - 1)],
)
def test_numbers(data, value):
    raw = bytes.fromhex(data)
    c = Cursor(memoryview(raw), 0, len(raw))
    assert c.varint() == value and c.at == len(raw)


def test_every_operation_is_known():
    assert len(ATTRIBUTES) == 144 and all(list(a) == sorted(a) for a in ATTRIBUTES.values())


@pytest.mark.parametrize(
    "data, match",
    [
        (b"", "byte 0"),
        (b"ML\xefR", "byte 4"),
        (b"ML\xefR\xff" + b"\0" * 20, "version 127"),
        (DATA[:40], "byte"),
        (DATA[:-30], "byte"),
        (b"\x00\xff" * 40, "neither bytecode"),
    ],
)
def test_errors_say_where(data, match):
    with pytest.raises(StablehloError, match=match):
        (read_bytecode if data[:1] != b"\0" else load)(data)


def test_damaged_files(long):
    """Whatever bytes are damaged, there is a module or one clear error, and nothing is read that is not there."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(200_000 if long else 1500):
        data = bytearray(DATA)
        for _ in range(rng.randint(1, 4)):
            i = rng.randrange(len(data))
            how = rng.random()
            if how < 0.6:
                data[i] = rng.randrange(256)
            elif how < 0.8:
                del data[i : i + rng.randint(1, 8)]
            else:
                data[i:i] = rng.randbytes(rng.randint(1, 8))
        try:
            read_bytecode(bytes(data))
        except StablehloError as e:
            assert re.match(r"byte \d+: |what is nested", str(e)), (seed, str(e))
        except Exception as e:
            raise AssertionError(f"seed {seed}: {type(e).__name__}: {e}") from e


def test_texts_and_bytes_are_the_same_module():
    jax = pytest.importorskip("jax", reason="modules are made with JAX, which is not installed")
    jnp = jax.numpy

    def fn(x):
        q, r = jnp.linalg.qr(x)
        c, ys = jax.lax.scan(lambda c, t: (c + t.sum(), c), 0.0, x)
        return jnp.sort(q, 1), r, c, ys, jax.lax.top_k(x, 2), jax.random.normal(jax.random.key(0), (3,)), x[jnp.array([0, 1])]

    exported = jax.export.export(jax.jit(fn))(np.ones((4, 5), np.float32))
    a, b = read_text(exported.mlir_module()), read_bytecode(exported.mlir_module_serialized)
    assert shown(a) == shown(b)
    for f, g in zip(a.operations(), b.operations()):
        for name, value in f.attrs.items():
            if isinstance(value, Dense):
                np.testing.assert_array_equal(value.array, g.attrs[name].array)
            elif name in g.attrs and not isinstance(value, (list, dict, Opaque)):
                assert value == g.attrs[name], (f.name, name)
    assert shown(load(bytes(exported.serialize())).module) == shown(b)
