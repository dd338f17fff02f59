"""Kernels that the cache knows are not made again: from which entries they come, and what happens where these are not as they should be."""

import json
import os
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir import dtypes as dt
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, log, memory
from ingot.runtime.cache import pieces, the_cache
from ingot.runtime.cli import main
from tests.support.processes import with_tests


def make_graph(name="f", n=4096, op="exp"):
    b = Builder(name)
    x = b.expr(b.input(tensor_type(dt.f32, (n,)), "x"))
    return b.freeze(((OPS[op](x) * 2.0).value,))


def run(graph):
    x = np.linspace(-1, 1, graph.in_types[0].shape[0], dtype=np.float32)
    out = np.empty_like(x)
    compiler.executable(graph).run(memory.from_numpy(x).address, memory.from_numpy(out).address)
    np.testing.assert_allclose(out, np.exp(x) * 2, rtol=1e-6)


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """A folder of its own for each test, and a process that knows nothing."""
    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "cache"))
    monkeypatch.setattr(log, "_warned", set())
    forget(monkeypatch)


def forget(monkeypatch):
    monkeypatch.setattr(compiler, "_executables", {})
    monkeypatch.setattr(pieces, "_known", {})
    compiler.kernel_counts.clear()


def counted():
    return dict(+compiler.kernel_counts)


def stored(name):
    """The key of the entry of this name."""
    found = {key: the_cache().lookup(key) for key in the_cache().used}
    (key,) = [key for key, f in found.items() if f is not None and f.entry.record.get("name") == name]
    return key


def test_kernels_of_other_graphs_are_known(monkeypatch):
    run(make_graph())
    assert counted() == {"compiled": 1}
    forget(monkeypatch)
    run(make_graph("g", 8192))
    assert counted() == {"known": 1}
    assert the_cache().lookup(stored("g")).entry.record["kernels"] == {"known": 1, "compiled": 0}
    compiler.executable(make_graph("h", 8192, "tanh"))
    assert counted() == {"known": 1, "compiled": 1}


ALONE = """
import sys
import ingot.ir.ops
from ingot.ir import dtypes as dt
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import compiler
b = Builder("h")
x = b.expr(b.input(tensor_type(dt.f32, (int(sys.argv[1]),)), "x"))
compiler.executable(b.freeze((OPS["exp"](x).value,)))
print(dict(+compiler.kernel_counts), "llvmlite" in sys.modules)
"""


def test_a_process_that_compiles_nothing_new_imports_no_llvm(tmp_path):
    def alone(n):
        done = subprocess.run([sys.executable, "-c", ALONE, str(n)], capture_output=True, text=True, cwd=tmp_path, env=with_tests())
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "{'compiled': 1} True" in alone(1 << 22)
    assert "{'known': 1} False" in alone(1 << 21)


def test_the_bytes_are_those_of_code_that_was_made_alone(monkeypatch):
    compiler.executable(make_graph("g", n=8192))
    forget(monkeypatch)
    beside = compiler.code_of(make_graph("f"))
    assert counted() == {"known": 1}
    monkeypatch.setenv("INGOT_CACHE_DIR", os.environ["INGOT_CACHE_DIR"] + "2")
    forget(monkeypatch)
    assert compiler.code_of(make_graph("f")).so == beside.so and counted() == {"compiled": 1}
    assert main(["cache", "verify", "--deep", "--rebuild"]) == 0


def _index():
    return os.path.join(the_cache().own.folder, "pieces")


@pytest.mark.parametrize("what", ["gone", "nonsense", "cut", "a folder", "the entry is gone", "the entry is damaged"])
def test_a_hint_that_leads_nowhere_costs_a_compilation(monkeypatch, what):
    run(make_graph())
    path = the_cache().own.path(stored("f"))
    if what in ("gone", "a folder"):
        os.unlink(_index())
    if what == "a folder":
        os.mkdir(_index())
    elif what == "nonsense":
        with open(_index(), "wb") as f:
            f.write(os.urandom(10000))
    elif what == "cut":
        os.truncate(_index(), 17)
    elif what == "the entry is gone":
        os.unlink(path)
    elif what == "the entry is damaged":
        with open(path, "r+b") as f:
            f.seek(5000)
            f.write(b"\xff\xee\xdd")
    forget(monkeypatch)
    if what == "the entry is damaged":
        with pytest.warns(log.IngotWarning, match="is damaged"):
            run(make_graph("g", 8192))
    else:
        run(make_graph("g", 8192))
    assert counted() == {"compiled": 1}


def made(parts, workers):
    return [p.make() for p in parts]


def test_code_of_another_compiler_or_level_is_not_taken(monkeypatch):
    """A record may say anything: what it leads to must be made for the very level, by the very compiler."""
    run(make_graph())
    with open(_index(), "rb") as f:
        records = f.read()
    (key,) = {records[i + 16 : i + 48] for i in range(0, len(records), 48)}
    entry = the_cache().lookup(key.hex()).entry
    other = dict(entry.preimage, options={"INGOT_SOMETHING": "1"})
    for name in backend("cpu").pieces(entry.code):
        pieces.remember(the_cache().own, key.hex(), [pieces._id(pieces._context(other), name)])
        forget(monkeypatch)
        part = SimpleNamespace(name=name, text="text", ready=bool, make=lambda: b"made")
        assert pieces.Pieces(entry.preimage, lambda: None)([part], made) != [b"made"]
        forget(monkeypatch)
        assert pieces.Pieces(other, lambda: None)([part], made) == [b"made"]


def test_the_file_stays_bounded(monkeypatch):
    run(make_graph())
    monkeypatch.setattr(pieces, "_LIMIT", 48 * 100)
    for k in range(250):
        pieces.remember(the_cache().own, f"{k:064x}", [os.urandom(16)])
        assert os.path.getsize(_index()) <= 48 * 101
    forget(monkeypatch)
    run(make_graph("g", 8192))
    assert counted() == {"known": 1}  # the records of entries that are there stayed


def test_an_imported_entry_s_kernels_are_known(tmp_path, monkeypatch):
    run(make_graph())
    bundle = str(tmp_path / "bundle.tar")
    assert main(["cache", "export", bundle]) == 0 and tarfile.is_tarfile(bundle)
    monkeypatch.setenv("INGOT_CACHE_DIR", os.environ["INGOT_CACHE_DIR"] + "2")
    assert main(["cache", "import", bundle]) == 0
    forget(monkeypatch)
    run(make_graph("g", n=8192))
    assert counted() == {"known": 1}


def test_a_shared_layer_s_kernels_are_known(monkeypatch):
    run(make_graph())
    monkeypatch.setenv("INGOT_CACHE_PATH", os.environ["INGOT_CACHE_DIR"])
    monkeypatch.setenv("INGOT_CACHE_DIR", os.environ["INGOT_CACHE_DIR"] + "2")
    forget(monkeypatch)
    run(make_graph("g", n=8192))
    assert counted() == {"known": 1}


def test_people_are_told(monkeypatch, capsys):
    monkeypatch.setenv("INGOT_LOG", "compile")
    run(make_graph())
    forget(monkeypatch)
    key = compiler.code_of(make_graph("g", n=8192)).key
    assert "1 kernels known, 0 compiled" in capsys.readouterr().err
    assert main(["cache", "show", key]) == 0 and "kernels    0 compiled, 1 known" in capsys.readouterr().out
    assert main(["cache", "show", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["kernels"] == {"known": 1, "compiled": 0}
