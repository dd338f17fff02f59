"""Golden samples: `ingot verify --run` proves an artifact where it will serve, to the bit where the level is the same."""

import json

import ml_dtypes
import numpy as np
import pytest

import ingot
from ingot.runtime import threads
from ingot.runtime.artifact import ArtifactError, golden, host, load, tensors
from ingot.runtime.artifact.container import Container
from ingot.runtime.cli import main
from tests.support.forging import contents, rewrite

F = np.float32


def agreement(got, want, rtol=1e-4, atol=1e-5, exact=False, dtype=F):
    a = golden.compare("y", np.array(got, dtype), np.array(want, dtype), rtol, atol, exact)
    return a.error, a.allowed


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_within_the_tolerances(dtype):
    assert agreement([1, 2], [1, 2], dtype=dtype) == (0, 1)
    error, allowed = agreement([1, 2.25], [1, 2], rtol=0.5, atol=0.25, dtype=dtype)
    assert error == 0.25 / (0.25 + 0.5 * 2) and allowed == 1
    assert agreement([3], [1], rtol=0.5, atol=0.25, dtype=dtype)[0] > 1
    nan, inf = float("nan"), float("inf")
    assert agreement([nan, inf, -inf], [nan, inf, -inf], dtype=dtype) == (0, 1)
    for got, want in ((nan, 1), (1, nan), (inf, 1), (1, inf), (inf, -inf), (nan, inf)):
        assert agreement([got], [want], dtype=dtype)[0] == inf, (got, want)
    assert agreement([], [], dtype=dtype) == (0, 1) and agreement(1, 1, dtype=dtype) == (0, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_to_the_bit(dtype):
    one_more = np.nextafter(np.array(1, dtype), np.array(2, dtype))
    assert agreement([1, one_more], [1, one_more], exact=True, dtype=dtype) == (0, 0)
    assert agreement([1, one_more, 1], [one_more, one_more, one_more], exact=True, dtype=dtype) == (2, 0)
    assert agreement([0.0], [-0.0], exact=True, dtype=dtype) == (1, 0)
    assert agreement(1, one_more, exact=True, dtype=dtype) == (1, 0)
    nans = np.array([1, -1], dtype) * np.array(float("nan"), dtype)
    assert agreement(nans, nans[::-1], exact=True, dtype=dtype) == (0, 0)


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_no_floating_point_number_is_equal(exact):
    big = 2**53  # where float64 has no odd numbers
    assert agreement([big + 1, -1], [big + 1, -1], exact=exact, dtype=np.int64) == (0, 0)
    assert agreement([big + 1, -1], [big, -1], exact=exact, dtype=np.int64) == (1, 0)
    assert agreement([2**64 - 1], [2**64 - 2], exact=exact, dtype=np.uint64) == (1, 0)
    assert agreement([True, False], [True, True], exact=exact, dtype=np.bool_) == (1, 0)


def test_bits_agree_for_any_number_of_threads(tmp_path):
    """What is exported on one machine is proven to the bit on every one that takes the same level."""
    ingot.manual_seed(0)
    net = ingot.nn.Sequential(
        ingot.nn.Conv2d(3, 8, 3), ingot.nn.GELU(), ingot.nn.Flatten(), ingot.nn.Linear(8 * 14 * 14, 32), ingot.nn.Softmax(1)
    )
    path = str(tmp_path / "m.ingot")
    ingot.export(net.eval(), ingot.randn(4, 3, 16, 16), path)
    before = threads.get_num_threads()
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            assert [(a.error, a.allowed) for a in load(path).verify()] == [(0.0, 0.0)]
    finally:
        threads.set_num_threads(before)


@pytest.mark.skipif(host.architecture() != "x86_64", reason="levels of x86-64")
def test_every_target_that_runs_here_is_run(tmp_path, capsys):
    from ingot.backends import backend

    levels = backend("cpu").levels

    path = str(tmp_path / "m.ingot")
    ingot.manual_seed(0)
    ingot.export(ingot.nn.Linear(300, 20), ingot.randn(2, 300), path, targets=list(levels))
    assert main(["verify", "--run", "--json", path]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    with Container(path) as c:
        made = c.manifest["golden"]["level"]
        here = [t["level"] for t in c.manifest["targets"] if t["arch"] == "x86_64" and not host.missing(t["features"])]
    assert [t["level"] for t in file["targets"]] == here and made == here[0]
    for t in file["targets"]:  # the bits at the level that made them, the tolerances at the others
        assert [o["allowed"] for o in t["outputs"]] == [0.0 if t["level"] == made else 1.0]


def test_one_bit_off(real, copy, capsys):
    """A difference that the tolerances would let pass is found at the level that made the samples, and only there."""
    manifest, parts = contents(real.path)
    arrays = {n: np.array(a) for n, a in tensors.unpack(memoryview(parts["golden"])).items()}
    largest = np.unravel_index(arrays["out.2"].argmax(), arrays["out.2"].shape)
    arrays["out.2"][largest] = np.nextafter(arrays["out.2"][largest], F(0))
    parts["golden"] = b"".join(bytes(p) for p in tensors.pack(arrays))
    rewrite(copy, manifest, parts)
    level = load(real.path).level
    with pytest.raises(ArtifactError, match=f"output output2 is off in 1 of 9 elements, which must agree to the bit, at {level}"):
        load(copy).verify()
    assert main(["verify", copy]) == 0 and main(["verify", "--run", copy]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "is off in 1 of 9 elements" in err
    manifest["golden"]["level"] = "x86-64-v9"
    rewrite(copy, manifest, parts)
    assert 0 < load(copy).verify()[2].error < 1 and main(["verify", "--run", copy]) == 0


def test_without_samples(tmp_path, capsys):
    path = str(tmp_path / "m.ingot")
    ingot.export(lambda x: x + 1, ingot.ones(3), path, golden=False)
    assert main(["verify", path]) == 0 and main(["verify", "--run", path]) == 1
    assert "holds no golden samples" in capsys.readouterr().err


def test_several_files(real, copy, tmp_path, capsys):
    """Each has its line; the exit code is that of the worst."""
    from ingot.runtime.cli import artifact_verbs

    assert artifact_verbs.verify([real.path, copy], True, False) == 0
    out = capsys.readouterr().out
    assert out.count("every checksum right") == 2 and out.count("the same bits") == 6
    with open(copy, "r+b") as f:
        f.write(b"oh")
    assert artifact_verbs.verify([copy, real.path], False, False) == 1
    got = capsys.readouterr()
    assert got.out.count("every checksum right") == 1 and got.err.count("\n") == 1
    missing = str(tmp_path / "missing.ingot")
    assert artifact_verbs.verify([missing, real.path, copy], False, True) == 5
    got = capsys.readouterr()
    document = json.loads(got.out)
    assert [f["ok"] for f in document["files"]] == [False, True, False] and document["ok"] is False and got.err.count("\n") == 2
    assert document["files"][0]["file"] == missing and "no Ingot artifact" in document["files"][2]["why"]
