"""The door to the backends: targets by name, what each of them makes, and that it stays shut until something is compiled."""

import json
import subprocess
import sys

import numpy as np
import pytest

from ingot.backends import NAMES, backend
from ingot.ir.op import OPS
from tests.support.graphs import graph_of


@pytest.mark.parametrize("name", NAMES)
def test_a_target_leads_to_its_backend(name):
    assert backend(name).name == name
    for level in backend(name).levels:
        assert backend(level) is backend(name)


def test_an_unknown_target():
    with pytest.raises(ValueError, match="no target 'sm_20': targets are cpu, x86-64-v2, .*, cuda, sm_80"):
        backend("sm_20")


@pytest.mark.parametrize("target", [level for name in NAMES for level in backend(name).levels])
def test_every_level_builds_and_says_how_to_call_it(target):
    b, level = backend(target), backend(target).levels[target]
    x, i = np.zeros((40, 30), np.float32), np.zeros((5, 30), np.int64)
    graph = graph_of([x, i], lambda x, i: OPS["exp"](OPS["gather"](x, i, axis=0)))
    built = b.build(b.lower(graph, level), level)
    assert built == b.build(b.lower(graph, level), level)
    m = json.loads(json.dumps(built.manifest))
    assert m == built.manifest  # it is stored as JSON
    assert m["slots"] == ["address"] * 3 and m["inputs"] == ["f32[40,30]", "i64[5,30]"] and m["outputs"] == ["f32[5,30]"]
    (check,) = m["checks"].values()
    assert graph.nodes[check["node"]].op.name == "gather" and check["message"].startswith("gather: ")
    texts = b.llvm(b.lower(graph, level), level)
    assert texts and all("@ingot_kernel(" in text or "ptx_kernel" in text for text in texts.values())
    assert all(b.assembly(text, level) for text in texts.values())


@pytest.mark.parametrize("target", ["sm_90a", "emulated"])
def test_a_gpu_s_code_holds_the_image_of_its_kernels(target):
    cuda = backend("cuda")
    level = cuda.levels[target]
    graph = graph_of([np.zeros((300, 40), np.float32)], lambda x: x.sum((1,)))
    program = cuda.lower(graph, level)
    built, image = cuda.build(program, level), cuda.image(program, level)
    assert built.manifest["image"] == len(image) and image in built.code
    assert built.manifest["kernels"] == list(program.kernels) and built.manifest["launches"] == len(program.steps)
    if target != "emulated":
        assert all(f".entry {name}(".encode() in image for name in built.manifest["kernels"])


LAZY = """
import sys
from ingot.backends import backend
cpu = backend("cpu")
assert cpu.runs(cpu.host_level(), cpu.host_level()) and cpu.architectures
backend("sm_90a").levels
dear = ("llvmlite", "numpy", "ingot.ir.lower", "ingot.backends.llvm.codegen")
print([m for m in sys.modules if m.startswith(dear)])
"""


LOADED = """
import sys
from ingot.backends import backend
import ingot.ir.ops
from ingot.ir.text import parse
target = sys.argv[1]
b = backend(target)
graph = parse("func @f(%x: f32[4,8]) -> f32[4,8] {\\n %0 = mul %x, %x : f32[4,8]\\n return %0\\n}")
b.load()
before = set(sys.modules)
b.build(b.lower(graph, b.levels[target]), b.levels[target])
print([m for m in sys.modules if m.startswith("ingot") and m not in before])
"""


@pytest.mark.parametrize("target", ["x86-64-v3", "sm_90a"])
def test_what_is_loaded_need_not_be_imported_while_compiling(target):
    done = subprocess.run([sys.executable, "-c", LOADED, target], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_levels_cost_no_compiler():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
