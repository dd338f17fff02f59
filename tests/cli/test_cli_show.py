"""`ingot show`: pictures of graphs."""

from __future__ import annotations

import xml.etree.ElementTree as tree

import pytest

import ingot
from ingot.runtime.cli import main

TEXT = """func @main(%x: f32[4,8], %w: f32[8,3]) -> f32[4,3] {
  %0 = dot %x, %w {batch=[[], []], contract=[[1], [0]]} : f32[4,3]
  %1 = tanh %0 : f32[4,3]
  %2 = reduce_max %1 {axes=[1]} : f32[4,1]
  %3 = sub %1, %2 : f32[4,3]
  return %3
}
"""


def texts(svg):
    return [e.text for e in tree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_kernels_are_boxes(tmp_path, capsys):
    (tmp_path / "a.ir").write_text(TEXT)
    assert main(["show", str(tmp_path / "a.ir"), "-o", str(tmp_path / "a.svg")]) == 0
    shown = texts((tmp_path / "a.svg").read_text())
    assert {"x: f32[4,8]", "w: f32[8,3]", "result 0: f32[4,3]", "  dot", "  tanh", "  reduce_max", "  sub"} <= set(shown)
    assert sum(line.startswith("nest") for line in shown) >= 1
    assert main(["show", str(tmp_path / "a.ir"), "--json"]) == 0
    assert "<svg" in (tmp_path / "a.html").read_text() and "func @main" in (tmp_path / "a.html").read_text()
    assert '"nodes": 4' in capsys.readouterr().out


@pytest.mark.compiled
def test_an_artifact(tmp_path):
    ingot.export(ingot.nn.Linear(3, 2), (ingot.ones(1, 3),), tmp_path / "m.ingot")
    assert main(["show", str(tmp_path / "m.ingot"), "-o", str(tmp_path / "m.svg")]) == 0
    assert "  dot" in texts((tmp_path / "m.svg").read_text())


def test_loops_tell_what_is_in_them(tmp_path):
    from ingot.runtime.drawing import svg
    from tests.support.graphs import graph_of

    body = graph_of([(4,), (4,)], lambda c, x: (ingot.ir.op.OPS["tanh"](c + x), c * x))
    graph = graph_of([(4,), (5, 4)], lambda c, x: ingot.ir.op.OPS["scan"](c, x, body=body, n_const=0, n_carry=1, length=5, reverse=False))
    assert any("tanh" in line for line in texts(svg(graph)))


@pytest.mark.parametrize("name, text, message", [
    ("a.ir", "no graph", "a.ir"), ("a.ir", TEXT.replace("tanh", "tanhh"), "tanhh"), ("b.ingot", "", "b.ingot"),
])  # fmt: skip
def test_what_is_no_graph(tmp_path, capsys, name, text, message):
    (tmp_path / name).write_text(text)
    assert main(["show", str(tmp_path / name)]) != 0
    assert message in capsys.readouterr().err
    assert main(["show", str(tmp_path / name), "-o", str(tmp_path / "a.png")]) == 2
