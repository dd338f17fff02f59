"""torch.jit's names: compiling, annotations, and artifacts; and the questions of `ingot.compiler` and `ingot.onnx`."""

from __future__ import annotations

import io

import pytest

import ingot
from ingot import nn


def test_script_compiles_functions_and_modules(tmp_path):
    @ingot.jit.script
    def scaled(x: ingot.Tensor, factor: float = 3.0):
        return x * factor

    assert scaled(ingot.ones(2)).tolist() == [3, 3] and scaled.stats["traces"] == 1
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).eval()
    made = ingot.jit.script(model)
    assert isinstance(made, ingot.jit.ScriptModule) and isinstance(made, nn.Sequential) and ingot.jit.script(made) is made
    assert not isinstance(model, ingot.jit.ScriptModule)
    x = ingot.ones(4, 3)
    ingot.testing.assert_close(made(x), model(x))
    with pytest.raises(RuntimeError, match="not known"):
        ingot.jit.script(nn.Linear(1, 1)).save(tmp_path / "m.ingot")
    made.save(tmp_path / "m.ingot")
    loaded = ingot.jit.load(tmp_path / "m.ingot").eval()
    ingot.testing.assert_close(loaded(x), model(x))
    assert isinstance(loaded, ingot.jit.ScriptModule)


def test_trace_and_files():
    model = nn.Linear(3, 2).eval()
    made = ingot.jit.trace(model, (ingot.zeros(1, 3),))
    assert made(ingot.zeros(5, 3)).shape == (5, 2)
    file = io.BytesIO()
    ingot.jit.save(made, file)
    file.seek(0)
    x = ingot.ones(1, 3)
    ingot.testing.assert_close(ingot.jit.load(file)(x), model(x))
    with pytest.raises(RuntimeError, match="extra files"):
        ingot.jit.save(made, io.BytesIO(), _extra_files={"a": b""})
    with pytest.raises(RuntimeError, match="script or jit.trace"):
        ingot.jit.save(model, io.BytesIO())
    assert ingot.jit.freeze(made) is made
    made.train()
    with pytest.raises(RuntimeError, match="eval"):
        ingot.jit.freeze(made)


def test_what_capture_refuses_is_refused():
    @ingot.jit.script
    def branch(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(ingot.CaptureError, match="x.sum"):
        branch(ingot.ones(2))


def test_methods_are_traced_too():
    class Two(nn.Module):
        def forward(self, x):
            return x + 1

        @ingot.jit.export
        def twice(self, x):
            return x * 2

    made = ingot.jit.trace_module(Two(), {"forward": ingot.ones(1), "twice": (ingot.ones(1),)})
    assert made(ingot.ones(1)).item() == 2 and made.twice(ingot.ones(1)).item() == 2


class Old(ingot.jit.ScriptModule):
    __constants__ = ["n"]
    n: ingot.jit.Final[int]

    def __init__(self):
        super().__init__()
        self.n = ingot.jit.annotate(int, 2)

    @ingot.jit.script_method
    def forward(self, x):
        if ingot.jit.is_scripting() or ingot.jit.is_tracing():
            raise AssertionError
        return self.helper(x) * self.n

    @ingot.jit.unused
    def helper(self, x):
        return self.ignored(x) + 1

    @ingot.jit.ignore(drop=True)
    def ignored(self, x):
        return x

    @ingot.jit.ignore
    def other(self, x):
        return x


def test_annotations_change_nothing():
    assert Old()(ingot.ones(1)).item() == 4
    kinds = [(1, int, True), ([1], list[int], True),
             ([1, "a"], list[int], False), ((1, "a"), tuple[int, str], True), (None, int | None, True),
            
             ({"a": 1}, dict[str, int], True), ({"a": "b"}, dict[str, int], False), (1.0, int | str, False), (3, (str, int), True),
             (ingot.ones(1), ingot.Tensor, True)]  # fmt: skip
    for value, kind, wanted in kinds:
        assert ingot.jit.isinstance(value, kind) is wanted, (value, kind)
    assert ingot.jit.wait(ingot.jit.fork(lambda x, y: x + y, 1, y=2)) == 3
    before = ingot.jit.set_fusion_strategy([("DYNAMIC", 3)])
    assert ingot.jit.set_fusion_strategy(before) == [("DYNAMIC", 3)]
    with ingot.jit.strict_fusion():
        pass


def test_questions_and_refusals():
    assert not ingot.onnx.is_in_onnx_export() and ingot.compiler.list_backends() == ["inductor"]
    ingot.compiler.reset()
    ingot.compiler.cudagraph_mark_step_begin()
    assert ingot.onnx.OperatorExportTypes.ONNX_ATEN_FALLBACK.name == "ONNX_ATEN_FALLBACK"
    from ingot.utils import cpp_extension

    with pytest.raises(RuntimeError, match="torch's own library"):
        cpp_extension.load("name", ["a.cpp"])


def test_timers():
    timer = ingot.utils.benchmark.Timer("x + 1", globals={"x": ingot.ones(3)}, label="add")
    for found in (timer.timeit(5), timer.blocked_autorange(min_run_time=0.001), timer.adaptive_autorange(max_run_time=0.01)):
        assert found.mean > 0 and found.median > 0 and found.iqr >= 0 and "x + 1" in repr(found)
    with pytest.raises(ValueError):
        ingot.utils.benchmark.Timer("x", language="c++")
