"""Same preimage, same bytes: in another process, folder and order, whatever was compiled before; and what cannot be rebuilt says why."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.types import tensor_type
from ingot.runtime import compiler, reproduce
from ingot.runtime.cache import entry, the_cache
from ingot.runtime.reproduce import ReproduceError
from tests.support.prebuilt import make_graph
from tests.support.processes import with_tests
from tests.support.programs import mixed

CPU = backend("cpu")
LEVELS = CPU.levels


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("INGOT_CACHE_PATH", raising=False)


def built(graph, level):
    return CPU.build(CPU.lower(graph, level), level)


def stored(key):
    with open(the_cache().own.path(key), "rb") as f:
        return entry.parse(f.read(), key)


def test_graphs_and_pools_come_out_the_same_for_every_level():
    for level in LEVELS.values():
        for graph in (make_graph(3.0), mixed()):
            assert reproduce.compare(stored(compiler.code_of(graph, level).key)) == ("same", "")
    for arch in ("x86_64", "aarch64"):
        compiler.pool_code(arch)
    pools = [e for e in (stored(e.key) for e in the_cache().own.list()) if e.record["name"] == "worker pool"]
    assert len(pools) == 2 and all(reproduce.compare(e) == ("same", "") for e in pools)


PROCESS = """
import hashlib, json, sys
from ingot.backends import backend
from tests.support.prebuilt import make_graph
from tests.support.programs import mixed
cpu = backend("cpu")
graphs = [("a", mixed()), ("b", mixed("other", 40)), ("c", make_graph(2.5)), ("d", mixed("third", 7))]
if {reverse}:
    junk = [object() for _ in range(12345)]  # so that addresses differ, too
    graphs.reverse()
out = {{}}
for name, graph in graphs:
    for level in ("x86-64-v4", "aarch64"):
        made = cpu.build(cpu.lower(graph, cpu.levels[level]), cpu.levels[level])
        out[name + level] = [hashlib.sha256(made.code).hexdigest(), made.manifest]
print(json.dumps(out, sort_keys=True))
"""


def test_order_process_folder_and_hash_seed_do_not_matter(tmp_path):
    outputs = []
    for seed, reverse in (("0", False), ("1", True), ("4294967295", False)):
        folder = tmp_path / f"at{seed}"
        folder.mkdir()
        code = PROCESS.format(reverse=reverse)
        env = with_tests(PYTHONHASHSEED=seed, HOME=str(folder), TZ="Asia/Tokyo" if reverse else "UTC")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=env, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout))
    assert len(outputs[0]) == 8
    assert outputs[0] == outputs[1] == outputs[2]


def test_where_nodes_were_recorded_is_not_stored():
    """Recorded in a loop, both gathers have one place; unrolled, each its own. The manifest tells them apart either way."""
    code = test_where_nodes_were_recorded_is_not_stored.__code__
    level = LEVELS["x86-64-v3"]
    manifests = [built(mixed(locs=locs), level).manifest for locs in ([None] * 2, [(code, 0)] * 2, [(code, 0), (code, 2)])]
    assert manifests[0] == manifests[1] == manifests[2]
    nodes = [check["node"] for check in manifests[0]["checks"].values()]
    assert len(nodes) == len(set(nodes)) == 3  # the scatter and the gathers


def test_the_assembly_is_that_of_the_code():
    key = compiler.code_of(mixed(), LEVELS["x86-64-v3"]).key
    text = reproduce.assembly(stored(key))
    assert "ingot_entry:" in text and "vfmadd" in text and "dot" in text
    compiler.pool_code("aarch64")
    pool = next(e for e in (stored(e.key) for e in the_cache().own.list()) if e.record["name"] == "worker pool")
    assert "ingot_pool_parallel:" in reproduce.assembly(pool)


def test_large_constants_come_from_the_entry():
    import numpy as np

    b = Builder("table")
    x = b.expr(b.input(tensor_type(dtypes.f32, (40,)), "x"))
    table = b.expr(b.constant(np.arange(40, dtype=np.float32), dtypes.f32))
    code = compiler.code_of(b.freeze(((x * table).value,)), LEVELS["x86-64-v3"])
    e = stored(code.key)
    assert "sha256:" in e.preimage["text"] and "base64:" in e.texts["payloads"]
    e.check_deep()
    assert reproduce.compare(e) == ("same", "")
    texts = {**e.texts, "payloads": e.texts["payloads"].replace("base64:AAAA", "base64:AAAB")}
    other = entry.parse(entry.pack(e.key, bytes(e.code), e.manifest, e.record, e.preimage_bytes, texts), e.key)
    assert "does not print as it stands" in reproduce.compare(other).why


class Changed:
    """A stored entry with some of it changed, checksums and key being right again."""

    def __init__(self, key):
        e = stored(key)
        self.doc, self.manifest, self.code = e.preimage, e.manifest, bytearray(e.code)

    def entry(self):
        preimage = json.dumps(self.doc, sort_keys=True, separators=(",", ":")).encode()
        key = hashlib.sha256(preimage).hexdigest()
        return entry.parse(entry.pack(key, bytes(self.code), self.manifest, {"compile_ms": 1, "created": 1}, preimage, {}), key)


@pytest.fixture
def changed():
    return Changed(compiler.code_of(make_graph(3.0), LEVELS["x86-64-v3"]).key)


def test_a_difference_names_its_place(changed):
    at = changed.code.index(b"\xc3", 4096)  # a return in the code
    changed.code[at] ^= 1
    outcome = reproduce.compare(changed.entry())
    assert outcome == ("different", f"the code differs from byte {at:#x} on, in .text")
    with pytest.raises(ReproduceError, match="other code than is stored"):
        reproduce.assembly(changed.entry())
    changed.code[at] ^= 1
    del changed.code[-1]
    assert "bytes, rebuilt" in reproduce.compare(changed.entry()).why
    changed.code += b"\0"
    changed.manifest["arena_bytes"] += 64
    arena = changed.manifest["arena_bytes"]
    assert reproduce.compare(changed.entry()) == ("different", f"the manifest's arena_bytes is {arena}, rebuilt 0")


N = 1 << 63  # elements, which nothing can count
HUGE = f"func @main(%a0: f32[{N}]) -> f32[{N}] {{\n  %0 = exp %a0 : f32[{N}]\n  return %0\n}}\n"
IMPOSSIBLE = [
    ("another version of Ingot's compiler", lambda d: d.update(sources="0" * 64)),
    ("made with llvmlite 0.1", lambda d: d["toolchain"].update(llvmlite="0.1")),
    ("made with llvm 3", lambda d: d["toolchain"].update(llvm="3")),
    ("made with the options", lambda d: d.update(options={"INGOT_FAST": True})),
    ("made for the level z80", lambda d: d["target"].update(name="z80")),
    ("made for the level x86-64-v3", lambda d: d["target"].update(vector_bytes=64)),
    ("made for the level x86-64-v3", lambda d: d["target"].update(has_fma=1)),
    ("cannot be read: line 1", lambda d: d.update(text="func @main")),
    ("cannot be read", lambda d: d.update(text="")),
    ("cannot be read: line 2: constant: the constant is given by its digest", lambda d: d.update(
        text=f"func @main() -> f32[99] {{\n  %0 = constant {{value=sha256:{'0' * 64}}} : f32[99]\n  return %0\n}}\n")),
    ("does not print as it stands", lambda d: d.update(text=d["text"] + "\n")),
    ("does not compile", lambda d: d.update(text=HUGE)),
    ("is not that of a worker pool", lambda d: d.update(kind="pool", target={"arch": "x86_64"})),
    ("kind is none of", lambda d: d.update(kind="llvm")),
    ("has the fields", lambda d: d.clear()),
]  # fmt: skip


@pytest.mark.parametrize("match, change", IMPOSSIBLE)
def test_what_cannot_be_rebuilt_says_why(changed, match, change):
    change(changed.doc)
    outcome = reproduce.compare(changed.entry())
    assert outcome.state == "impossible" and match in outcome.why and "\n" not in outcome.why
    with pytest.raises(ReproduceError):
        reproduce.assembly(changed.entry())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_preimage_is_read_or_refused(data):
    """A document with one field replaced by anything: nothing but ReproduceError comes out of reading it."""
    doc = json.loads(_preimage_of_a_graph())
    values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.lists(st.integers(), max_size=2),
                       st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))  # fmt: skip
    field = data.draw(st.sampled_from(sorted(doc)))
    if field in ("target", "toolchain") and data.draw(st.booleans()):
        inner = data.draw(st.sampled_from(sorted(doc[field])))
        doc[field][inner] = data.draw(values)
    elif field == "text":
        lines = doc["text"].split("\n")
        i, j = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        lines[i], lines[j] = lines[j], lines[i][: data.draw(st.integers(0, 40))]
        doc["text"] = "\n".join(lines)
    else:
        doc[field] = data.draw(values)
    preimage = json.dumps(doc, sort_keys=True, separators=(",", ":")).encode()
    key = hashlib.sha256(preimage).hexdigest()
    e = entry.parse(entry.pack(key, b"", {}, {}, preimage, {}), key)
    try:
        reproduce.parts(e)
    except ReproduceError:
        pass


def _preimage_of_a_graph():
    from ingot.runtime.cache import key as keys

    toolchain = reproduce._toolchain()
    return keys.preimage("graph", mixed().text, LEVELS["x86-64-v3"].assumptions(), toolchain, {})
