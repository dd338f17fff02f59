"""Graphs for all sizes, and those of them for some: what a template gives is what would have been made for the sizes."""

import numpy as np
import pytest

from ingot.ir import ops  # noqa: F401  (fills OPS)
from ingot.ir.builder import Builder
from ingot.ir.dtypes import f32, i64
from ingot.ir.graph import SizedConst
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.structure import graph_parts
from ingot.ir.template import Instance, Templates, templated
from ingot.ir.transforms import derived
from ingot.ir.transforms.derived import backward_of
from ingot.ir.transforms.vjp import op_vjp
from ingot.ir.types import tensor_type

SIZES = (3, 5, 2, 1, 7, 0, 9)

# op: attributes and the shapes of the inputs, for n
OPS_BY_SIZE = {
    "mul": lambda n: ((), [(n, 4), (n, 4)]),
    "sub": lambda n: ((), [(n, 4), (1, 4)]),
    "div": lambda n: ((), [(), (n, 2)]),
    "tanh": lambda n: ((), [(n, n + 1)]),
    "dot": lambda n: ((((), ()), ((1,), (0,))), [(n, 4), (4, n + 1)]),
    "reshape": lambda n: (((2, n, 2),), [(n, 4)]),
    "transpose": lambda n: (((1, 0),), [(n, 4)]),
    "slice": lambda n: (((n, 1), (2 * n, 3), (1, 1)), [(2 * n + 1, 4)]),
    "pad": lambda n: (((n,), (1,), (0,)), [(3,), ()]),
    "broadcast": lambda n: (((n, 2, 5),), [(2, 1)]),
    "reduce_sum": lambda n: (((0, 2),), [(n, 4, 2)]),
    "reduce_max": lambda n: (((0,),), [(n + 1, 4)]),
    "concatenate": lambda n: ((0,), [(n, 4), (2, 4), (n, 4)]),
    "cumsum": lambda n: ((0, False), [(n, 4)]),
    "cumprod": lambda n: ((0, False), [(n + 1, 2)]),
    "sort": lambda n: ((0, False), [(n + 1, 2)]),
    "conv": lambda n: (((1,), ((1, 0),), (1,), 1), [(2, 3, n + 2), (4, 3, 2)]),
}


def values(types):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(t.shape).astype(np.float32) if t.dtype is f32 else np.zeros(t.shape, t.dtype.numpy) for t in types]


@pytest.mark.parametrize("name", OPS_BY_SIZE)
def test_a_backward_graph_of_a_template_is_that_of_the_sizes(name):
    op = OPS[name]
    derived._OPS.clear()
    made = 0
    for n in SIZES:
        attrs, shapes = OPS_BY_SIZE[name](n)
        types = tuple(tensor_type(f32, s) for s in shapes)
        wrt, cts = (True,) * len(types), tuple(t.dtype is f32 for t in op.infer(types, *attrs))
        one, other = backward_of(op, attrs, types, wrt, cts), op_vjp(op, attrs, types, wrt, cts)
        assert (one.reads_inputs, one.reads_outputs, one.grads) == (other.reads_inputs, other.reads_outputs, other.grads)
        assert one.graph.out_types == other.graph.out_types and one.graph.in_types == other.graph.in_types
        given = values(other.graph.in_types)
        for x, y in zip(run(one.graph, given), run(other.graph, given)):
            np.testing.assert_array_equal(x, y)
        if isinstance(one.graph, Instance):
            made += 1
            assert graph_parts(one.graph) == graph_parts(one.graph._made())
    assert made >= 4 or name in ("conv", "cumprod"), made  # a window must fit; a scan has a body for its sizes


def half(dims):
    """The first n // 2 elements of n, and n itself."""
    b = Builder("half")
    x = b.input(tensor_type(f32, dims))
    (y,) = b.emit(OPS["slice"], (x,), ((0,), (dims[0] // 2,), (1,)))
    (n,) = b.emit(OPS["constant"], (), (SizedConst(tensor_type(i64, ()), dims[0]),))
    return b.freeze((y, n))


def test_the_values_of_sizes_are_constants():
    template = templated(half, (5,))
    for n in (0, 1, 8):
        x, count = run(Instance(template, template.values_of((n,))), [np.arange(n, dtype=np.float32)])
        assert x.tolist() == list(range(n // 2)) and count == n


def test_a_size_that_is_but_a_constant_is_a_symbol_of_the_graph():
    def make(dims):
        inner = Builder("count")
        (n,) = inner.emit(OPS["constant"], (), (SizedConst(tensor_type(i64, ()), dims[0]),))
        b = Builder("f")
        return b.freeze(b.emit(OPS["call"], (), (inner.freeze((n,)),)))

    template = templated(make, (5,))
    assert [s.name for s in template.graph.symbols] == ["d0"]
    assert run(Instance(template, template.values_of((8,))), [])[0] == 8


def test_a_second_signature_makes_the_template():
    asked = []

    def make(n):
        return templates.instance((n,), lambda: asked.append(n) or templated(half, (n,)))

    templates = Templates()
    assert make(4) is None and not asked
    assert isinstance(make(6), Instance) and isinstance(make(9), Instance) and asked == [6]
    assert make(9).out_types == (tensor_type(f32, (4,)), tensor_type(i64, ()))


def test_what_depends_on_the_size_is_another_template():
    def make(dims):
        b = Builder("f")
        x = b.expr(b.input(tensor_type(f32, dims)))
        return b.freeze(((x + 1.0 if dims[0] > 4 else x * 2.0).value,))

    templates = Templates()
    for n in (1, 3, 7, 4, 5):
        g = templates.instance((n,), lambda: templated(make, (n,)))  # noqa: B023
        assert g is None or g.nodes[-1].op.name == ("add" if n > 4 else "mul")
    assert len(templates.known) == 2


def test_sizes_that_have_to_be_equal_are_one_symbol():
    def make(dims):
        b = Builder("f")
        x, y = (b.expr(b.input(tensor_type(f32, (d,)))) for d in dims)
        return b.freeze(((x + y).value,))

    template = templated(make, (3, 3))
    assert len(template.names) == 1 and template.values_of((7, 7)) == (7,) and template.values_of((7, 6)) is None
    assert templated(make, (3, 1)).values_of((9, 1)) is not None and templated(make, (3, 1)).values_of((9, 9)) is None


def test_a_graph_of_one_node_is_known_without_its_nodes():
    def make(dims):
        b = Builder("f")
        x, y = (b.input(tensor_type(f32, dims)) for _ in range(2))
        return b.freeze(b.emit(OPS["reshape"], (y,), ((1, dims[0]),)))

    template = templated(make, (3,))
    g = Instance(template, (8,))
    assert g.single == (OPS["reshape"], ((1, 8),), (1,)) and "_graph" not in g.__dict__
