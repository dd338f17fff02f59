"""Code that is made the quick way gives the bits that the other gives."""

import numpy as np
import pytest

from ingot.ir.op import OPS
from ingot.runtime import compiler, memory
from ingot.runtime.executable import CheckError
from tests.support.generate import generate
from tests.support.op_cases import cases_of, graph_of_cases

NAMES = sorted(OPS)
EACH = 8


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """What other tests have had made in full would be taken instead."""
    monkeypatch.setattr(compiler, "_is_known", lambda key: False)


def run(graph, arrays, quick):
    exe = compiler.compiled(graph, quick=quick)
    buffers = [memory.from_numpy(np.ascontiguousarray(a).copy()) for a in arrays]
    slots = [a.item() if i in graph.scalars else b.address for i, (a, b) in enumerate(zip(arrays, buffers))]
    outs = [memory.allocate(t.nbytes) for t in graph.out_types]
    try:
        exe.run(*slots, *(b.address for b in outs))
    except CheckError as error:
        return exe, error.code
    return exe, [b.array(t.dtype.numpy, t.shape) for b, t in zip(outs, graph.out_types)]


def check(graph, arrays, what):
    (quick_exe, quick), (exe, full) = run(graph, arrays, True), run(graph, arrays, False)
    assert exe.key != quick_exe.key
    if isinstance(quick, int) or isinstance(full, int):
        assert quick == full, what
        return
    for k, (a, b) in enumerate(zip(quick, full)):
        if a.tobytes() != b.tobytes():  # which NaN it is nobody says
            a, b = ([x.real, x.imag] if x.dtype.kind == "c" else [x.astype(np.float32)] if x.dtype.itemsize == 2 else [x] for x in (a, b))
            for x, y in zip(a, b):
                assert x.dtype.kind == "f" and ((x == y) & (np.signbit(x) == np.signbit(y)) | np.isnan(x) & np.isnan(y)).all(), (
                    f"{what}, output {k}:\n{x}\n{y}"
                )


@pytest.mark.parametrize("k", range(-(-len(NAMES) // EACH)))
def test_ops(k, long):
    for name in NAMES[k * EACH : (k + 1) * EACH][:: 1 if long else 3]:
        cases = cases_of(OPS[name])
        arrays = [a for arrays, _ in cases for a in arrays]
        check(graph_of_cases(OPS[name], cases), arrays, name)


def test_random_graphs(long):
    for seed in range(1000, 2000 if long else 1015):
        check(*generate(seed, 4 + seed % 20), f"seed {seed}")
