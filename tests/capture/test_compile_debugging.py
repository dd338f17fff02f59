"""Looking into compiled functions: prints at run time, texts of tensors without values, breakpoints, and compiling turned off."""

import subprocess
import sys

import pytest

import ingot
from tests.support.processes import ROOT


def test_prints_come_at_every_call_in_order(capsys):
    w = ingot.nn.Parameter(ingot.ones(2))
    optimizer = ingot.optim.SGD([w], lr=0.5)

    def step(x, scale):
        optimizer.zero_grad()
        y = x * scale
        ingot.debug.print("y", y, {"of": [y + 1]}, scale, sep="|")
        y.add_(1)
        ingot.debug.print(w, y, end=";\n")
        (w * y).sum().backward()
        optimizer.step()
        ingot.debug.print(w.grad, w)
        return y

    told = []
    for compiled in (False, True):
        with ingot.no_grad():
            w.fill_(1)
        w.requires_grad_()
        f = ingot.compile(step) if compiled else step
        for i in range(3):
            f(ingot.tensor([1.0, 2.0]) * i, 2.0 + i)
        told.append(capsys.readouterr().out.replace(", requires_grad=True", ""))
    assert told[0] == told[1] and told[1].count("\n") == 9 + told[1].count("Parameter containing:")
    first = "y|tensor([0., 0.])|{'of': [tensor([1., 1.])]}|2.0"
    assert told[1].startswith(f"{first}\nParameter containing:\ntensor([1., 1.]) tensor([1., 1.]);\n")


def test_a_failed_call_prints_nothing(capsys):
    @ingot.compile
    def f(x, i):
        ingot.debug.print(x)
        return x[i]

    f(ingot.ones(2), ingot.tensor([1]))
    with pytest.raises(IndexError):
        f(ingot.ones(2), ingot.tensor([2]))
    assert capsys.readouterr().out == "tensor([1., 1.])\n"


def test_the_text_of_an_unknown_tensor_says_what_is_known(capsys):
    @ingot.compile
    def f(x):
        y = x.double() * 2
        print(y)
        return y

    for _ in range(2):  # Python's own print runs while the function is traced
        f(ingot.ones(2, 3))
    text = "tensor(<[2, 3], ingot.float64: not known while compiling; ingot.debug.print shows it at each call>)"
    assert capsys.readouterr().out == f"{text}\n"
    g = ingot.compile(lambda x: (x, repr(x), f"{x.sum():.3f}", str(ingot.tensor([1, 2]))))
    _, whole, number, constant = g(ingot.ones(2, 3).double())
    assert whole == text and number == text.replace("[2, 3]", "[]") and constant == "tensor([1, 2])"
    with pytest.raises(ingot.CaptureError, match=r"(?s)not known.*ingot.where.*ingot.debug.print.*INGOT_COMPILE=0"):
        ingot.compile(lambda x: x if x.sum() > 0 else -x)(ingot.ones(2))


def test_compiling_is_turned_off(monkeypatch):
    monkeypatch.setenv("INGOT_COMPILE", "0")
    f = ingot.compile(lambda x: x * 2 if x.sum() > 0 else x)
    assert f(ingot.ones(2)).tolist() == [2, 2] and f(-ingot.ones(2)).tolist() == [-1, -1] and f.stats["traces"] == 0
    layer = ingot.compile(ingot.nn.Linear(2, 3))
    layer(ingot.ones(1, 2)).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1]] * 3
    monkeypatch.setenv("INGOT_COMPILE", "1")
    with pytest.raises(ingot.CaptureError):
        f(ingot.ones(2))


PROGRAM = """
import ingot

@ingot.compile
def f(x):
    y = x + 1
    breakpoint()
    z = y * 2
    return z

print("result", f(ingot.ones(2)).tolist(), f(ingot.ones(2)).tolist(), f.stats["traces"])
"""


@pytest.mark.parametrize("typed", ["c", "n;;c", "p y;;p y.shape;;c", "w;;u;;d;;c", "w;;u;;u;;u;;d;;d;;d;;c"])
def test_a_breakpoint_in_a_compiled_function_goes_on(typed, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, path], input="\n".join(typed.split(";;")) + "\n", capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert "result [4.0, 4.0] [4.0, 4.0] 1" in done.stdout, done.stdout + done.stderr
    assert "p y" not in typed or "tensor(<[2], ingot.float32: not known while compiling" in done.stdout
