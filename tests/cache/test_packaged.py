"""Entries that come with the package: they are what would be compiled, and save it."""

import json
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot import _prompt
from ingot.runtime import compiler, plans
from ingot.runtime.cache import key as keys
from ingot.runtime.cache import packaged, pieces, the_cache
from tests.support.processes import with_tests


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file of the entries that these sources make."""
    path = tmp_path_factory.mktemp("packaged") / "packaged.bin"
    path.write_bytes(packaged.packed(*_prompt.entries()))
    return path


@pytest.fixture
def used(made, monkeypatch, tmp_path):
    """Only these, and neither what this process has nor what its folder has."""
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "_executables", {})
    monkeypatch.setattr(packaged, "FILE", str(made))
    monkeypatch.setenv("INGOT_CACHE_PACKAGED", "1")
    packaged._file.cache_clear()
    plans.clear()
    yield
    packaged._file.cache_clear()
    plans.clear()


def test_the_file_is_what_the_sources_in_its_keys_make(made):
    with open(packaged.FILE, "rb") as f:
        present = f.read()
    rows = int.from_bytes(present[:4], "little")
    if present[4 : 4 + rows] == made.read_bytes()[4 : 4 + rows]:  # the keys
        assert present == made.read_bytes(), "run python -m ingot._prompt"


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 7, 2), (6, 1, 1), (33, 65, 17)], ids=str)
def test_every_line_computes_what_code_for_its_sizes_computes(shape, used, monkeypatch):
    def results():
        plans.clear()
        ingot.manual_seed(3)
        return [np.asarray(eval(line, _prompt._names(line, *shape)).numpy()) for line in _prompt.LINES]

    before = the_cache().counts["hit.package"]
    quickly = results()
    assert the_cache().counts["hit.package"] - before > len(_prompt.LINES) * (0.9 if min(shape) > 1 else 0.4)
    monkeypatch.setenv("INGOT_CACHE_PACKAGED", "0")
    for line, a, b in zip(_prompt.LINES, quickly, results()):
        assert a.dtype == b.dtype and a.shape == b.shape, line
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6, err_msg=line)  # sums are added in other orders


def test_empty_shapes_are_right(used):
    assert (ingot.ones(0, 4) @ ingot.ones(0, 4).T).softmax(-1).sum().item() == 0
    assert ingot.randn(0, 3).numpy().shape == (0, 3)
    assert ingot.ones(0, 4).sum(0).tolist() == [0.0] * 4


SESSION = """
import sys
from ingot.runtime.cache import packaged
packaged.FILE = sys.argv[1]
import numpy as np
import ingot
from ingot.runtime import compiler
for n in (20, 21, 3):
    a = ingot.tensor(np.full((n, 16), 0.1, np.float32))
    assert abs((a @ a.T).softmax(-1).sum().item() - n) < 1e-5
assert ingot.randn(n, 7).numpy().shape == (n, 7) and ingot.randn(300, 200).numpy().std() > 0.9
print(compiler.counts["compiled"], "llvmlite" in sys.modules, "ingot.ir.lower" in sys.modules)
"""


def test_a_session_begins_without_lowering(made, tmp_path):
    env = {**with_tests(), "INGOT_CACHE_DIR": str(tmp_path / "cache"), "INGOT_CACHE_PACKAGED": "1"}
    done = subprocess.run([sys.executable, "-c", SESSION, str(made)], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "False", "False"], done.stdout + done.stderr


def test_frozen_finds_them(used):
    with ingot.frozen():
        assert (ingot.ones(3, 4) + 1).tolist() == [[2.0] * 4] * 3


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "random", "flipped"])
def test_a_damaged_file_is_a_miss(damage, made, tmp_path, monkeypatch):
    data = made.read_bytes()
    path = tmp_path / "damaged"
    if damage != "missing":
        flipped = bytearray(data)
        for at in range(len(data) // 3, len(data), 97):
            flipped[at] ^= 255
        path.write_bytes(
            {"empty": b"", "cut": data[: len(data) // 2], "random": np.random.default_rng(0).bytes(999), "flipped": bytes(flipped)}[damage]
        )
    key = keys.key_of(compiler._preimage((g := next(iter(_prompt.graphs()))), compiler.host_level()))
    monkeypatch.setattr(packaged, "FILE", str(path))
    monkeypatch.setenv("INGOT_CACHE_PACKAGED", "1")
    packaged._file.cache_clear()
    plans.clear()
    try:
        assert g is not None and packaged.find(key) is None
        assert all(packaged.find(k) is None for k in packaged.keys()[-20:])
        assert (ingot.ones(3, 4) + 1).tolist() == [[2.0] * 4] * 3
    finally:
        packaged._file.cache_clear()
        plans.clear()


def test_the_switch_turns_them_off(used, monkeypatch):
    some = packaged.keys()[0]
    assert packaged.has(some) and packaged.find(some).key == some
    monkeypatch.setenv("INGOT_CACHE_PACKAGED", "0")
    assert not packaged.has(some) and packaged.find(some) is None and not packaged.keys() and not packaged.samples()


def test_two_structures_have_two_outlines():
    """What is no size counts: dims, dtypes, which value is read."""
    x = ingot.ones(3, 4)
    found = set()
    for f in (lambda: x.sum(0), lambda: x.sum(1), lambda: x.double(), lambda: x - 1, lambda: 1 - x, lambda: x.T @ x, lambda: x @ x.T):
        plans.clear()
        f().numpy()
        found |= {f.structure for f in plans._FAMILIES.values()}
    assert len(found) >= 7


def test_the_command_line_names_what_comes_with_the_package(used, capsys):
    from ingot.runtime.cli import main

    assert main(["cache", "ls", "--packaged", "--filter", "target=x86-64-v3"]) == 0
    said = capsys.readouterr()
    assert "randn(n, m)" in said.out and f"in {packaged.FILE}" in said.err
    assert main(["cache", "ls", "--packaged", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["entries"]
    assert {r["key"] for r in rows} == set(packaged.keys())
    key = next(r["key"] for r in rows if r["name"] == "x + 1")
    assert main(["cache", "explain", key[:12]]) == 0
    assert f"x + 1  {key[:12]}\ncomes with the package" in capsys.readouterr().out


def test_kernels_that_come_with_the_package_are_told(tmp_path, monkeypatch, capsys):
    from ingot.runtime.cli import main

    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "_executables", {})
    monkeypatch.setattr(pieces, "_known", {})
    plans.clear()
    try:
        assert (ingot.ones(3, 4) + 1).tolist() == [[2.0] * 4] * 3
    finally:
        plans.clear()
    key = next(k for k in the_cache().used if the_cache().lookup(k).entry.record.get("kernels", {}).get("packaged"))
    assert main(["cache", "explain", key[:12]]) == 0
    assert "1 known, 1 of these with the package" in capsys.readouterr().out
