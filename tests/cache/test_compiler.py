"""From graph to executable: compiled once, found ever after, refused when frozen, rebuilt when damaged."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir import dtypes as dt
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, log, memory, toolchain
from ingot.runtime.cache import entry, journal, the_cache
from ingot.runtime.frozen import FrozenError, refusing
from tests.support.calling import HOST_LEVELS
from tests.support.processes import with_tests


def make_graph(name="f", scale=2.0, n=16):
    b = Builder(name)
    x = b.expr(b.input(tensor_type(dt.f32, (n,)), "x"))
    return b.freeze(((OPS["exp"](x) * scale).value,))


def run(exe, n=16):
    x = np.linspace(-1, 1, n, dtype=np.float32)
    out = np.empty_like(x)
    exe.run(memory.from_numpy(x).address, memory.from_numpy(out).address)
    return x, out


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """A folder of its own for each test, and a process that remembers nothing."""
    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "cache"))
    monkeypatch.setattr(compiler, "_executables", {})
    monkeypatch.setattr(log, "_warned", set())
    compiler.counts.clear()


def forget(monkeypatch):
    monkeypatch.setattr(compiler, "_executables", {})


def test_compiled_once_then_memory_then_disk(monkeypatch):
    x, out = run(compiler.executable(make_graph()))
    np.testing.assert_allclose(out, np.exp(x) * 2, rtol=1e-6)
    assert compiler.counts == {"compiled": 1}
    assert compiler.executable(make_graph()) is compiler.executable(make_graph())
    assert compiler.counts == {"compiled": 1, "memory": 2}
    forget(monkeypatch)
    np.testing.assert_array_equal(run(compiler.executable(make_graph()))[1], out)
    assert compiler.counts == {"compiled": 1, "memory": 2, "cache": 1}


def test_another_graph_is_another_entry():
    compiler.executable(make_graph(scale=2.0))
    x, out = run(compiler.executable(make_graph(scale=3.0)))
    np.testing.assert_allclose(out, np.exp(x) * 3, rtol=1e-6)
    assert compiler.counts["compiled"] == 2


def test_the_same_graph_gives_the_same_bytes(monkeypatch):
    first = compiler.code_of(make_graph())
    the_cache().own.remove(first.key)
    assert compiler.code_of(make_graph()).so == first.so
    assert compiler.counts["compiled"] == 2


def test_the_level_is_in_the_key(monkeypatch):
    keys = {name: compiler.code_of(make_graph(), level).key for name, level in backend("cpu").levels.items()}
    assert len(set(keys.values())) == len(backend("cpu").levels)
    for level in HOST_LEVELS:
        monkeypatch.setenv("INGOT_CPU_LEVEL", level.name)
        assert compiler.code_of(make_graph()).key == keys[level.name]
    monkeypatch.setenv("INGOT_CPU_LEVEL", "z80")
    with pytest.raises(ValueError, match="INGOT_CPU_LEVEL.*z80"):
        compiler.executable(make_graph())


def test_frozen(monkeypatch):
    compiler.executable(make_graph())
    forget(monkeypatch)
    with refusing():
        compiler.executable(make_graph())
        with pytest.raises(FrozenError, match="g would have to be compiled.*holds no code of g"):
            compiler.executable(make_graph("g", 3.0))
        with refusing(False):
            compiler.executable(make_graph("g", 3.0))
    monkeypatch.setenv("INGOT_FROZEN", "1")
    with pytest.raises(FrozenError):
        compiler.executable(make_graph("h", 4.0))
    assert compiler.counts["refused"] == 2


def test_a_damaged_entry_is_rebuilt(monkeypatch):
    key = compiler.code_of(make_graph()).key
    path = the_cache().own.path(key)
    with open(path, "r+b") as f:
        f.seek(100)
        f.write(b"damage")
    with pytest.warns(log.IngotWarning, match="damaged"):
        x, out = run(compiler.executable(make_graph()))
    np.testing.assert_allclose(out, np.exp(x) * 2, rtol=1e-6)
    reasons = [m["reason"] for m in journal.read(os.path.join(the_cache().own.folder, "misses.jsonl")) if m["key"] == key]
    assert reasons == ["absent", "damaged"]
    forget(monkeypatch)
    run(compiler.executable(make_graph()))
    assert compiler.counts == {"compiled": 2, "cache": 1}


@pytest.mark.parametrize("manifest", [{}, {"slots": 3}, {"slots": ["address"], "arena_bytes": "x"}, {"slots": ["nonsense"]}, None])
def test_an_entry_that_is_whole_and_holds_no_code_is_rebuilt(monkeypatch, manifest):
    found = compiler.code_of(make_graph())
    cache = the_cache()
    stored = cache.lookup(found.key)
    stored.close()
    doc = json.dumps(stored.entry.preimage, sort_keys=True, separators=(",", ":")).encode()
    bad = {**found.manifest, "entry": "absent"} if manifest is None else manifest
    cache.own.put(found.key, entry.pack(found.key, found.so, bad, {}, doc, {}))
    forget(monkeypatch)
    with pytest.warns(log.IngotWarning, match="no code that can be loaded"):
        run(compiler.executable(make_graph()))
    forget(monkeypatch)
    run(compiler.executable(make_graph()))
    assert compiler.counts == {"compiled": 2, "cache": 1}
    assert len(os.listdir(os.path.join(cache.own.folder, "quarantine"))) == 1


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(log.IngotWarning, match="in memory only"):
        x, out = run(compiler.executable(make_graph()))
    np.testing.assert_allclose(out, np.exp(x) * 2, rtol=1e-6)


def test_code_that_may_not_be_mapped_from_its_file(monkeypatch):
    compiler.executable(make_graph())
    forget(monkeypatch)
    real = compiler.Executable

    def refuse(source, manifest):
        if isinstance(source, int):
            raise OSError("failed to map segment: operation not permitted")
        return real(source, manifest)

    monkeypatch.setattr(compiler, "Executable", refuse)
    x, out = run(compiler.executable(make_graph()))
    np.testing.assert_allclose(out, np.exp(x) * 2, rtol=1e-6)
    assert compiler.counts["cache"] == 1


def test_threads_compile_a_graph_once():
    found = []
    threads = [threading.Thread(target=lambda: found.append(compiler.executable(make_graph()))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8 and len(set(map(id, found))) == 1 and compiler.counts["compiled"] == 1


def test_misses_are_recorded_with_their_provenance():
    compiler.executable(make_graph(), {"file": "train.py", "line": 7})
    cache = the_cache()
    (miss,) = (m for m in journal.read(os.path.join(cache.own.folder, "misses.jsonl")) if m["name"] == "f")
    assert miss["file"] == "train.py" and miss["line"] == 7 and miss["signature"] == "(x: f32[16]) -> (f32[16])"
    record = cache.lookup(miss["key"])
    assert record.entry.record["file"] == "train.py" and "exp" in record.entry.texts["graph"]
    record.entry.check_deep()
    record.close()


def test_where_it_came_from_is_not_in_the_key():
    compiler.executable(make_graph(), {"file": "a.py", "line": 1})
    assert compiler.code_of(make_graph(), provenance={"file": "b.py"}).key and compiler.counts["compiled"] == 1


def test_dump_and_time(monkeypatch, tmp_path, capfd):
    from ingot.ir.lower import STAGES

    monkeypatch.setenv("INGOT_DUMP", str(tmp_path / "dump"))
    monkeypatch.setenv("INGOT_TIME", "1")
    monkeypatch.setenv("INGOT_LOG", "compile")
    compiler.executable(make_graph())
    (folder,) = (tmp_path / "dump").iterdir()
    names = sorted(p.name for p in folder.iterdir())
    assert names[0] == "00_graph.ir" and names[1] == "01_inline.ir" and names[-1].endswith("_code.so")
    shown = [n.partition("_")[2] for n in names]
    assert shown[1:-2] == [f"{s.name}.{'loop' if s.name in ('fuse', 'layouts', 'schedule', 'emit', 'memory') else 'ir'}" for s in STAGES]
    assert shown[-2].startswith("llvm-k0_") and shown[-1] == "code.so"
    assert "exp" in (folder / names[0]).read_text() and "define" in (folder / names[-2]).read_text()
    err = capfd.readouterr().err
    assert "ingot:time: codegen" in err and "ingot:compile: f " in err


def test_watching_changes_no_code(monkeypatch, tmp_path, capfd):
    plain = compiler.code_of(make_graph())
    the_cache().own.remove(plain.key)
    monkeypatch.setenv("INGOT_VERIFY", "1")
    monkeypatch.setenv("INGOT_LOG", "passes,fusion")
    watched = compiler.code_of(make_graph())
    assert watched.key == plain.key and watched.so == plain.so
    err = capfd.readouterr().err
    assert "ingot:passes: inline: " in err and "ingot:fusion: f: 1 kernels" in err


def test_nan_check(monkeypatch):
    monkeypatch.setenv("INGOT_CHECK", "nan")
    exe = compiler.executable(make_graph())
    x = np.array([0.0] * 15 + [np.nan], np.float32)
    out = np.empty_like(x)
    with pytest.raises(RuntimeError, match="1 of 16 values of output 0"):
        exe.run(memory.from_numpy(x).address, memory.from_numpy(out).address)
    run(exe)


def test_a_wrong_note_of_llvm_is_corrected(monkeypatch):
    version = compiler.keys.llvmlite_version()
    monkeypatch.setattr(toolchain, "_llvm", {})
    the_cache().set_note("toolchain", {version: "1.2.3"})
    key = compiler.code_of(make_graph()).key
    assert toolchain.versions()["llvm"] == toolchain._imported() == the_cache().note("toolchain")[version]
    assert compiler.code_of(make_graph()).key == key and compiler.counts["compiled"] == 1


WARM = """
import sys
from ingot.runtime import compiler
from tests.support import prebuilt
prebuilt.run(compiler.executable(prebuilt.make_graph(2.0)), 2.0)
print(dict(compiler.counts), [m for m in ("llvmlite", "ingot.ir.lower", "ingot.backends.llvm.codegen") if m in sys.modules])
"""


def test_a_second_process_compiles_nothing_and_imports_no_compiler(tmp_path):
    command = [sys.executable, "-c", WARM]
    outs = [subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=with_tests()) for _ in range(2)]
    assert "{'compiled': 1}" in outs[0].stdout, outs[0].stderr
    assert outs[1].stdout == "{'cache': 1} []\n", outs[1].stderr


START = """
import os, sys
import ingot
from ingot import nn
m = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
if not os.path.exists("weights"):
    ingot.save(m.state_dict(), "weights")
m.load_state_dict(ingot.load("weights"))
with ingot.no_grad():
    ingot.compile(m.eval())(ingot.ones(2, 4)).numpy()
rare = ("ingot.cuda", "ingot.runtime.cuda", "ingot.ir.lower", "safetensors", "llvmlite")
print([m for m in sys.modules if m.startswith(rare)])
"""


def test_a_warm_start_imports_nothing_of_gpus_or_of_the_compiler(tmp_path):
    """It builds a model, loads its weights and calls it."""
    command = [sys.executable, "-c", START]
    outs = [subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=with_tests()) for _ in range(2)]
    assert outs[1].stdout == "[]\n", outs[0].stderr + outs[1].stderr


def test_a_read_only_layer_serves_without_a_compiler(tmp_path, monkeypatch):
    compiler.executable(make_graph())
    monkeypatch.setenv("INGOT_CACHE_PATH", os.environ["INGOT_CACHE_DIR"])
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "home" / "other"))
    forget(monkeypatch)
    with refusing():
        run(compiler.executable(make_graph()))
    assert the_cache().counts["hit.shared"] == 1 and not os.path.exists(tmp_path / "home" / "other" / "v1")
