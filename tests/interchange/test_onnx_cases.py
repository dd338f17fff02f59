"""Every case of the `onnx` package that has a defined result, on the interpreter; some of them compiled. `--long` runs all."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")

from ingot import onnx as ours  # noqa: E402
from tests.interchange import onnx_cases as cases  # noqa: E402

SAMPLE = 16  # one module of so many where the run is a short one
COMPILED = ("softmax", "gemm", "maxpool", "lstm", "slice", "quantizelinear", "layernormalization")


@pytest.fixture(autouse=True)
def interpreter(monkeypatch, request):
    if "compiled" not in request.keywords:
        monkeypatch.setenv("INGOT_BACKEND", "interpreter")


def failures(module: str) -> list[str]:
    found = []
    for case in cases.node_cases(module):
        if cases.excluded(case.name):
            continue
        try:
            model = ours.load(case.model.SerializeToString())
            for inputs, outputs in case.data_sets:
                got = model.run(dict(zip(model.input_names, map(cases.array, inputs))))
                for name, expected in zip(model.output_names, outputs):
                    # the package's own runner allows 1e-3 relative, and 1e-7
                    wrong = cases.difference(got[name], cases.array(expected), max(case.rtol, 1e-5), max(case.atol, 1e-6))
                    if wrong:
                        found.append(f"{case.name}: {name} {wrong}")
        except Exception as e:
            found.append(f"{case.name}: {type(e).__name__}: {e}")
    return found


@pytest.mark.parametrize("at", range(len(cases.modules())))
def test_nodes(at, long):
    module = cases.modules()[at]
    if not long and at % SAMPLE and module not in COMPILED:
        pytest.skip("a sample")
    assert failures(module) == []


@pytest.mark.compiled
@pytest.mark.parametrize("module", COMPILED)
def test_nodes_compiled(module, long):
    if not long and module not in COMPILED[:3]:
        pytest.skip("a sample")
    assert failures(module) == []


@pytest.mark.parametrize("kind", ["simple", "pytorch-operator", "pytorch-converted"])
def test_models(kind, long):
    found = []
    for folder in cases.folders(kind)[:: 1 if long else 4]:
        name = folder.rpartition("/")[2]
        if cases.excluded(name):
            continue
        try:
            model = ours.load(f"{folder}/model.onnx")
            for inputs, outputs in cases.stored(folder):
                got = model.run(dict(zip(model.input_names, inputs)))
                for output, expected in zip(model.output_names, outputs):
                    wrong = cases.difference(got[output], expected, 1e-3, 1e-5)
                    if wrong:
                        found.append(f"{name}: {output} {wrong}")
        except Exception as e:
            found.append(f"{name}: {type(e).__name__}: {e}")
    assert found == []
