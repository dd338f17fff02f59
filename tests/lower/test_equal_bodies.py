"""Equal bodies of loops give equal code, whether they are one object or several: which of the two is chance."""

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir.graph import Node
from ingot.ir.parse import parse
from ingot.ir.passes.cse import cse

TEXT = """
func @main(%w: f32[4,4], %h: f32[2,4], %xs: f32[7,2,4]) -> (f32[2,4], f32[7,2,4], f32[2,4]) {
  %0, %1 = scan %w, %h, %xs {body=@cell, n_const=1, n_carry=1, length=7, reverse=false} : f32[2,4], f32[7,2,4]
  %2, %3 = scan %w, %h, %xs {body=@cell, n_const=1, n_carry=1, length=7, reverse=false} : f32[2,4], f32[7,2,4]
  %4, %5 = scan %w, %2, %3 {body=@cell, n_const=1, n_carry=1, length=7, reverse=false} : f32[2,4], f32[7,2,4]
  return %0, %5, %2
}

func @cell(%w: f32[4,4], %h: f32[2,4], %x: f32[2,4]) -> (f32[2,4], f32[2,4]) {
  %0 = dot %h, %w {batch=[[], []], contract=[[1], [0]]} : f32[2,4]
  %1 = add %0, %x : f32[2,4]
  %2 = tanh %1 : f32[2,4]
  return %2, %2
}
"""


def variants():
    """The graph with one body for all its loops, and with one for each."""
    shared, bodies = parse(TEXT), [parse(TEXT).nodes[0].attrs[0] for _ in range(3)]
    apart = shared.replace(nodes=tuple(Node(n.op, n.inputs, (b, *n.attrs[1:]), n.outputs, n.loc) for n, b in zip(shared.nodes, bodies)))
    assert shared.nodes[0].attrs[0] is shared.nodes[1].attrs[0] and len({id(n.attrs[0]) for n in apart.nodes}) == 3
    return shared, apart


def test_equal_loops_are_computed_once():
    for graph in variants():
        assert len(cse(graph).nodes) == 2


def test_the_same_text_gives_the_same_bytes():
    shared, apart = variants()
    assert shared.text == apart.text
    cpu = backend("cpu")
    level = cpu.levels["x86-64-v3"]
    one, other = (cpu.build(cpu.lower(g, level), level) for g in (shared, apart))
    assert one.code == other.code


def test_another_body_is_another_loop():
    shared, _ = variants()
    other = parse(TEXT.replace("tanh", "exp")).nodes[0].attrs[0]
    n = shared.nodes[1]
    nodes = (shared.nodes[0], Node(n.op, n.inputs, (other, *n.attrs[1:]), n.outputs), shared.nodes[2])
    assert len(cse(shared.replace(nodes=nodes)).nodes) == 3
