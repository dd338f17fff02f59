"""Loading and calling an artifact: right results, clear refusals, and nothing imported that production has not."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from ingot.runtime.artifact import ArtifactError, load, model, tensors


def test_call(write, weights):
    m = load(write())
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    y = m(x, 2.0)
    assert y.dtype == np.float32 and y.shape == (2, 3)
    np.testing.assert_array_equal(y, x * np.float32(2) + weights["w"])
    np.testing.assert_array_equal(m(x, s=np.float32(3)), x * np.float32(3) + weights["w"])
    np.testing.assert_array_equal(m(s=np.array(1, np.float32), x=x[::1]), x + weights["w"])
    np.testing.assert_array_equal(m(np.asfortranarray(x), 1), x + weights["w"])
    assert m.signature == "(x: float32[2, 3], s: float32[]) -> (y: float32[2, 3])"
    assert m.peak_bytes == 24 + 24 + 4 + 24 and "scale" in repr(m)  # weights, inputs, output


def test_results_do_not_share_memory(write):
    m = load(write())
    a = m(np.ones((2, 3), np.float32), 1.0)
    before = a.copy()
    m(np.zeros((2, 3), np.float32), 1.0)
    np.testing.assert_array_equal(a, before)
    assert a.flags.writeable


def test_the_weights_are_mapped_and_read_only(write):
    m = load(write())
    assert not m.weights["w"].flags.writeable and m.weights["w"].base is not None
    with open("/proc/self/maps") as f:
        assert any("m.ingot" in line and "r--s" in line for line in f)


@pytest.mark.parametrize(
    "args, kwargs, error, match",
    [
        ((), {}, TypeError, "takes 2 inputs"),
        ((1, 2, 3), {}, TypeError, "takes 2 inputs"),
        ((np.ones((2, 3)), 1.0), {}, TypeError, "input x must be float32, got float64"),
        ((np.ones((3, 2), np.float32), 1.0), {}, RuntimeError, r"shape \(2, 3\), got \(3, 2\)"),
        (([1, 2], 1.0), {}, TypeError, "NumPy array or an Ingot tensor, got list"),
        ((3.0, 1.0), {}, TypeError, "got float"),
        ((np.ones((2, 3), np.float32),), {"z": 1}, TypeError, "has no input 'z'"),
        ((np.ones((2, 3), np.float32),), {"x": 1}, TypeError, "given twice"),
        ((), {"x": 1}, TypeError, "input s is missing"),
        ((np.ones((2, 3), np.float32), 13.0), {}, RuntimeError, "thirteen"),
    ],
)
def test_bad_arguments(write, args, kwargs, error, match):
    with pytest.raises(error, match=match):
        load(write())(*args, **kwargs)


def test_nested_inputs_and_outputs(write, manifest, weights):
    manifest["in_tree"] = {"tuple": [{"dict": [["x", "*"], ["rest", {"list": ["*", {"value": None}]}]]}]}
    manifest["out_tree"] = {"dict": [["y", "*"]]}
    m = load(write())
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(m({"x": x, "rest": [2.0, None]})["y"], 2 + weights["w"])
    with pytest.raises(TypeError, match="keys x, rest"):
        m({"x": x})


def test_threads_may_call_at_once(write, weights):
    m = load(write())
    wrong = []

    def work(i):
        x = np.full((2, 3), i, np.float32)
        for _ in range(200):
            if not np.array_equal(m(x, 1.0), x + weights["w"]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_large_weights_are_compared_before_the_first_call_of_any_thread(write, weights, monkeypatch):
    monkeypatch.setattr(model, "CHECK_AT_LOAD", 0)
    x = np.ones((2, 3), np.float32)
    for _ in range(50):
        m, right = load(write()), []
        start = threading.Barrier(4)

        def work(m=m, start=start, right=right):
            start.wait()
            right.append(np.array_equal(m(x, 1.0), x + weights["w"]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert right == [True] * 4


def test_golden_samples(write):
    (name, error, allowed), = load(write()).verify()
    assert name == "y" and error <= allowed
    bad = {"in.0": np.ones((2, 3), np.float32), "in.1": np.array(2, np.float32), "out.0": np.zeros((2, 3), np.float32)}
    with pytest.raises(ArtifactError, match="output y is off"):
        load(write(golden=tensors.pack(bad))).verify()
    with pytest.raises(ArtifactError, match="malformed"):
        load(write(golden=tensors.pack({}))).verify()


@pytest.mark.parametrize("check_at_load", [True, False])
def test_altered_weights_never_give_a_number(write, monkeypatch, check_at_load):
    path = write()
    with open(path, "rb") as f:
        data = bytearray(f.read())
    at = data.index(np.arange(6, dtype=np.float32).tobytes())
    data[at + 5] ^= 1
    with open(path, "wb") as f:
        f.write(data)
    if not check_at_load:
        monkeypatch.setattr(model, "CHECK_AT_LOAD", 0)
    with pytest.raises(ArtifactError, match="'weights' is damaged"):
        load(path)(np.ones((2, 3), np.float32), 1.0)


def change(manifest, path, value):
    at = manifest
    for step in path[:-1]:
        at = at[step]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value


CODE = ("targets", 0, "executable")


@pytest.mark.parametrize(
    "where, value",
    [
        (("name",), KeyError), (("inputs",), KeyError), (("inputs",), 3), (("inputs", 0, "shape"), [2, -3]),
        (("inputs", 0, "shape"), [2, 4]),
        (("inputs", 0, "shape"), [2**40, 2**40]), (("inputs", 0, "dtype"), "f31"), (("outputs", 0, "shape"), [2, 3, 1]),
        (("outputs",), []), (("in_tree",), {"tuple": ["*"]}), (("in_tree",), 7), (("out_tree",), {"value": 1}),
        (("feed",), [["input", 0]]), (("feed", 1), ["weight", "nobody"]), (("feed", 0), ["input", 2]), (("feed", 0), ["input", -1]),
        (("feed", 0), ["input", 1]), (("feed", 0), ["input", True]), (("feed", 0), ["file", "/etc/passwd"]), (("feed", 0), 3),
        (("targets",), {}), (("targets",), []), (("targets", 0, "code"), "nothing"), (("targets", 0, "code"), "weights"),
        (CODE + ("slots",), ["address"]), (CODE + ("slots", 0), "f32"), (CODE + ("slots", 2), "f64"), (CODE + ("slots", 3), "f32"),
        (CODE + ("arena_bytes",), -1), (CODE + ("arena_bytes",), 2**60), (CODE + ("arena_bytes",), 1.5), (CODE + ("arena_bytes",), True),
        (CODE + ("entry",), "main"), (CODE + ("entry",), 3), (CODE + ("inputs", 0), "f32[9]"), (CODE + ("inputs", 0), "f32[x]"),
        (CODE + ("inputs", 0), "f32[" + "1," * 100 + "1]"), (CODE + ("checks",), 3),
    ],
)  # fmt: skip
def test_manifests_that_do_not_fit_together(write, manifest, where, value):
    change(manifest, where, value)
    with pytest.raises(ArtifactError) as e:
        load(write())
    assert "\n" not in str(e.value) and len(str(e.value)) < 400


def test_another_cpu(write, manifest):
    manifest["targets"][0]["features"] = ["avx9000"]
    with pytest.raises(ArtifactError, match="no code for this CPU.*needs avx9000"):
        load(write())
    manifest["targets"][0].update(features=[], arch="pdp11")
    with pytest.raises(ArtifactError, match="is for pdp11"):
        load(write())


def test_the_first_target_that_fits_is_taken(write, manifest, weights):
    best = {**manifest["targets"][0], "level": "best", "features": ["avx9000"]}
    manifest["targets"].insert(0, best)
    m = load(write())
    assert m.level == "any"
    np.testing.assert_array_equal(m(np.ones((2, 3), np.float32), 1.0), 1 + weights["w"])


SERVE = """
import sys
for name in ("llvmlite", "safetensors", "rich", "ml_dtypes", "ingot.ir", "ingot.backends"):
    sys.modules[name] = None  # importing it fails
import numpy as np
import ingot.runtime.artifact
m = ingot.runtime.artifact.load(sys.argv[1])
print(m(np.ones((2, 3), np.float32), 2.0).sum(), m.verify()[0][0])
"""


def test_it_is_served_by_numpy_and_the_standard_library_alone(write, tmp_path):
    out = subprocess.run([sys.executable, "-c", SERVE, write()], capture_output=True, text=True, cwd=tmp_path)
    assert out.stdout == "27.0 y\n", out.stderr


def test_the_command_line(write, capsys):
    from ingot.runtime.cli import main

    path = write()
    assert main(["inspect", path]) == 0
    out = capsys.readouterr().out
    assert "scale" in out and "x: float32[2, 3]" in out and "runs here" in out
    assert main(["inspect", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["name"] == "scale"
    assert main(["verify", path, "--run"]) == 0
    assert "every checksum right" in capsys.readouterr().out
    os.truncate(path, os.path.getsize(path) - 1)
    assert main(["verify", path]) == 1
    assert "truncated" in capsys.readouterr().err
