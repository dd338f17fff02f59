"""`ingot cache warm` and `check`: what is built ahead is what a fresh process asks for, on this machine and on another."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ingot.backends import backend
from ingot.runtime.cache import Cache, deployment, entry
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cli import cache_warm, main, targets
from tests.support.cli import json_of, run

LEVELS = backend("cpu").levels

MODULE = '''
import ingot
from ingot import nn
import ingot.nn.functional as F

print("imported")
net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
opt = ingot.optim.SGD(net.parameters(), lr=0.5)

@ingot.compile(mode="frozen")
def step(x, y):
    opt.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
    return loss

def plain(x, factor=2, *, where=None):
    return (x * factor).sum() if where is None else (x * where["mask"]).sum()

class Holder:
    @ingot.compile
    def method(self, x):
        return x - 1

    class Inner:
        pass

holder = Holder()

def wrong(x):
    return x @ x

def killed(x):
    import os
    os.abort()

def exits(x):
    raise SystemExit(3)

def lingers(x):
    import threading, time
    threading.Thread(target=time.sleep, args=(600,)).start()
    return x + 1
'''
SPECS = ("deploy:step(f32[8,4], i64[8])", "deploy:plain(f32[3], where={'mask': bool[3]})", "deploy:holder.method(f32[])")
LOWEST = next(n for n, level in LEVELS.items() if level.triple.startswith(os.uname().machine))
FOREIGN = next(n for n, level in LEVELS.items() if not level.triple.startswith(os.uname().machine))
HOST = backend("cpu").host_level().name  # the fixtures unset INGOT_CPU_LEVEL


def keys_of(folder):
    return {e.key for e in Layer(str(folder), True).list()}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the module `deploy`, a cache that was warmed for SPECS, and the manifest."""
    folder = tmp_path_factory.mktemp("project")
    os.chmod(folder, 0o700)
    (folder / "deploy.py").write_text(MODULE)
    patch = pytest.MonkeyPatch()
    with contextlib.ExitStack() as stack:
        stack.callback(patch.undo)
        patch.chdir(folder)
        patch.setenv("INGOT_CACHE_DIR", str(folder / "cache"))
        patch.setenv("INGOT_FROZEN", "1")  # warming is the one thing that may compile
        for name in ("INGOT_CACHE_PATH", "INGOT_CPU_LEVEL", "INGOT_CACHE_TRUST"):
            patch.delenv(name, raising=False)
        assert main(["cache", "warm", *SPECS, "--manifest", "needs.json"]) == 0
    return folder


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    """The project as the current folder, a copy of its cache as the cache, and a private folder."""
    os.chmod(tmp_path, 0o700)
    monkeypatch.chdir(project)
    shutil.copytree(project / "cache", tmp_path / "cache")
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("INGOT_CACHE_PATH", "INGOT_CPU_LEVEL", "INGOT_FROZEN", "INGOT_CACHE_TRUST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# ---- warm


def test_the_second_time_all_is_there(capsys, here, project):
    before = keys_of(here / "cache")
    doc = json_of(capsys, "cache", "warm", *reversed(SPECS), "--manifest", str(here / "again.json"))
    assert [c["spec"] for c in doc["calls"]] == list(reversed(SPECS))
    assert all(c["compiled"] == 0 and c["there"] == len(c["keys"]) for c in doc["calls"])
    assert doc["failed"] == [] and keys_of(here / "cache") == before
    assert (here / "again.json").read_bytes() == (project / "needs.json").read_bytes()  # whatever the order
    assert sorted(os.listdir(here)) == ["again.json", "cache"]


def test_the_manifest(project):
    manifest = deployment.load(str(project / "needs.json"))
    assert [f.spec for f in manifest.functions] == sorted(SPECS) and {f.target for f in manifest.functions} == {HOST}
    assert {k.key for f in manifest.functions for k in f.keys} == keys_of(project / "cache")
    step = manifest.functions[2]
    names = {k.name: k for k in step.keys}
    assert {"step", "worker pool"} <= names.keys() and names["worker pool"].target == os.uname().machine
    assert names["step"].target == HOST and "x: f32[8,4]" in names["step"].signature
    preimage = names["step"].preimage
    assert preimage.keys() == {"schema", "kind", "text_sha256", "target", "sources", "toolchain", "options"}
    assert preimage["sources"] == manifest.sources and preimage["toolchain"] == manifest.toolchain
    assert json.loads((project / "needs.json").read_text())["schema_version"] == 1


def test_a_table_for_people_and_nothing_of_the_users_on_stdout(here):
    (here / "specs.txt").write_text(f"# calls\n{SPECS[1]}\n")
    python = [sys.executable, "-m", "ingot.runtime.cli", "cache", "warm", str(here / "specs.txt")]
    done = subprocess.run(python, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "imported" in done.stderr
    titles, row = done.stdout.splitlines()
    assert titles.split() == ["target", "keys", "compiled", "there", "time", "call"]
    assert row.split()[:4] == [HOST, "3", "0", "3"] and row.endswith(SPECS[1])


FAILURES = {
    "deploy:wrong(f32[2,3])": "cannot be multiplied",
    "deploy:killed(f32[2])": "SIGABRT",
    "deploy:exits(f32[2])": "SystemExit: 3",
    "deploy:holder.none.more()": "deploy.holder has no attribute none",
    "deploy:Holder.Inner()": "is a class",
    "nowhere:f()": "No module named 'nowhere'",
    "deploy:plain(f32[1000000000,1000000000])": "Error",
}


def test_failures_are_named_and_the_rest_is_done(capsys, here):
    shutil.rmtree(here / "cache")
    manifest = here / "none.json"
    doc = json_of(capsys, "cache", "warm", *FAILURES, SPECS[2], "--manifest", str(manifest), code=1)
    assert [f["spec"] for f in doc["failed"]] == list(FAILURES) and doc["manifest"] is None
    for f in doc["failed"]:
        assert FAILURES[f["spec"]] in f["why"] and "\n" not in f["why"], f
    assert "deploy.py:" in doc["failed"][0]["why"]
    (call,) = doc["calls"]
    assert call["compiled"] == 1 and {k["key"] for k in call["keys"]} <= keys_of(here / "cache")
    assert not manifest.exists()


def test_threads_that_go_on_for_ever_keep_nobody(capsys, here, monkeypatch):
    monkeypatch.setattr(cache_warm, "_PATIENCE", 0.1)
    assert json_of(capsys, "cache", "warm", "deploy:lingers(f32[2])")["calls"][0]["compiled"] == 1


def test_failures_for_people(capsys, here):
    code, out, err = run(capsys, "cache", "warm", "deploy:missing()", "--manifest", str(here / "x.json"))
    assert code == 1 and f"deploy:missing(): {HOST}: AttributeError: deploy has no attribute missing\n" in err and "no " in err


def test_usage(capsys, here):
    assert run(capsys, "cache", "warm")[0] == 2
    assert run(capsys, "cache", "warm", "deploy:f(")[0] == 2
    assert run(capsys, "cache", "warm", "no_such_file")[0] == 2
    code, _, err = run(capsys, "cache", "warm", SPECS[0], "--for-target", "z80")
    assert code == 2 and "x86-64-v3" in err
    code, out, _ = run(capsys, "cache", "warm", "--help")
    assert code == 0 and "example: ingot cache warm" in out and "zeros" in out and "training step" in out
    (here / "file").write_text("")
    assert run(capsys, "cache", "warm", SPECS[0], "--dir", str(here / "file"))[0] in (4, 5)
    assert run(capsys, "cache", "warm", SPECS[2], "--manifest", str(here / "no" / "m.json"))[0] == 5


def test_a_cache_that_keeps_nothing(capsys, here, monkeypatch):
    shutil.rmtree(here / "cache")
    monkeypatch.setenv("INGOT_CACHE_MAX_ENTRIES", "1")
    doc = json_of(capsys, "cache", "warm", SPECS[2], code=1)
    assert "did not keep it" in doc["failed"][0]["why"]


def test_for_other_targets(capsys, here, monkeypatch):
    there = here / "other"
    manifest = str(here / "n.json")
    both = ("--for-target", FOREIGN, "--for-target", LOWEST)
    doc = json_of(capsys, "cache", "warm", SPECS[2], "--dir", str(there), *both, "--manifest", manifest)
    by_target = {c["target"]: c for c in doc["calls"]}
    assert by_target.keys() == {FOREIGN, LOWEST}
    for level, call in by_target.items():
        assert {k["target"] for k in call["keys"]} == {level, targets.arch_of(level)} and call["compiled"] == 3
    assert keys_of(there) == {k["key"] for c in doc["calls"] for k in c["keys"]}  # and no code for this CPU's own level
    for e in Layer(str(there), True).list():
        with open(e.path, "rb") as f:
            entry.parse(f.read(), e.key).check_deep()
    assert Cache(str(there)).note("toolchain")
    for level in by_target:
        assert json_of(capsys, "cache", "check", "--frozen", manifest, "--dir", str(there), "--for-target", level)["findings"] == []
    # code that was only compiled has the keys of code that was run: also of a training step, and of what it computes before
    (run_here,) = json_of(capsys, "cache", "warm", SPECS[0], "--dir", str(there), "--for-target", LOWEST)["calls"]
    monkeypatch.setattr(targets, "runs_here", lambda name: False)
    calls = (SPECS[2], SPECS[0], "deploy:net(f32[2,4])")
    doc2 = json_of(capsys, "cache", "warm", *calls, "--dir", str(here / "third"), "--for-target", LOWEST)
    assert doc2["calls"][0]["keys"] == by_target[LOWEST]["keys"] and doc2["calls"][0]["compiled"] == 3
    assert doc2["calls"][1]["keys"] == run_here["keys"] and len(run_here["keys"]) == 3 and len(doc2["calls"][2]["keys"]) == 3


def test_code_for_serving_is_other_code(capsys, here):
    doc = json_of(capsys, "cache", "warm", "deploy:net(f32[2,4])", "--no-grad", "--manifest", str(here / "a.json"))
    serving = {k["key"] for k in doc["calls"][0]["keys"]}
    training = {k["key"] for k in json_of(capsys, "cache", "warm", "deploy:net(f32[2,4])")["calls"][0]["keys"]}
    assert doc["calls"][0]["no_grad"] and serving != training
    shutil.copy("needs.json", here / "b.json")  # several manifests are checked together
    doc = json_of(capsys, "cache", "check", "--frozen", str(here / "a.json"), str(here / "b.json"))
    assert doc["findings"] == [] and len(doc["calls"]) == 4 and [c["no_grad"] for c in doc["calls"]].count(True) == 1


def test_names_are_those_of_who_asks_now(capsys, here):
    """The graph may have been compiled under another name before: a manifest does not depend on that."""
    (here / "twin.py").write_text("def another(x):\n    return x - 1\n")
    os.chdir(here)
    doc = json_of(capsys, "cache", "warm", "twin:another(f32[])")
    assert doc["calls"][0]["compiled"] == 0 and {k["name"] for k in doc["calls"][0]["keys"]} == {"another", "worker pool"}


# ---- there and back


PROGRAM = """
import sys
if {blocked}:
    sys.modules["llvmlite"] = None
import numpy as np
import ingot
import deploy
x = ingot.from_numpy(np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4))
y = ingot.from_numpy(np.arange(8) % 3)
losses = [float(deploy.step(x, y)) for _ in range(3)]
assert sys.modules.get("llvmlite") is None and "ingot.ir.lower" not in sys.modules
print(losses)
"""


def losses(blocked=False, **environment):
    program = [sys.executable, "-c", PROGRAM.format(blocked=blocked)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[2] < found[0]
    return found


@pytest.mark.parametrize("way", ["import", "layer"])
def test_shipped_code_runs_where_nothing_may_be_compiled(capsys, here, way):
    if way == "import":
        assert run(capsys, "cache", "export", str(here / "cache.tar"))[0] == 0
        assert run(capsys, "cache", "import", str(here / "cache.tar"), "--dir", str(here / "new"))[0] == 0
        environment = {"INGOT_CACHE_DIR": str(here / "new"), "INGOT_CACHE_PATH": ""}
    else:
        assert run(capsys, "cache", "export", str(here / "shipped") + "/")[0] == 0
        environment = {"INGOT_CACHE_DIR": str(here / "empty"), "INGOT_CACHE_PATH": str(here / "shipped")}
    shutil.rmtree(here / "cache")
    check = [sys.executable, "-m", "ingot.runtime.cli", "cache", "check", "--frozen", "needs.json"]
    assert subprocess.run(check, timeout=300, env={**os.environ, **environment}).returncode == 0
    found = losses(INGOT_FROZEN="1", **environment)
    np.testing.assert_equal(found, losses(True, INGOT_FROZEN="1", **environment))
    assert not keys_of(environment["INGOT_CACHE_DIR"]) - keys_of(here / "new")  # nothing was compiled


# ---- check


def edited(here, change):
    with open("needs.json") as f:
        doc = json.load(f)
    change(doc)
    path = here / "edited.json"
    path.write_text(json.dumps(doc))
    return str(path)


def pool_key(manifest):
    return next(k.key for f in manifest.functions for k in f.keys if k.name == "worker pool")


def test_all_is_covered(capsys, here):
    code, out, err = run(capsys, "cache", "check", "--frozen", "needs.json")
    assert (code, out) == (0, "") and "3 calls" in err and "0 findings" in err
    doc = json_of(capsys, "cache", "check", "--frozen", "needs.json")
    assert doc["frozen"] and all(c["covered"] for c in doc["calls"]) and doc["notes"] == []


def test_what_is_absent_or_damaged(capsys, here):
    manifest = deployment.load("needs.json")
    own = Layer(str(here / "cache"), True)
    step = next(k for k in manifest.functions[2].keys if k.name == "step")
    own.remove(step.key)
    with open(own.path(pool_key(manifest)), "r+b") as f:
        f.write(b"\0")
    doc = json_of(capsys, "cache", "check", "--frozen", "needs.json", code=1)
    reasons = {(f["spec"], f["function"]): f["reason"] for f in doc["findings"]}
    assert reasons[SPECS[0], "step"] == "it is not in the cache" and len(reasons) == 4  # the pool is missing for all three
    assert "checksum" in reasons[SPECS[1], "worker pool"] and own.path(pool_key(manifest)) in reasons[SPECS[1], "worker pool"]
    code, out, _ = run(capsys, "cache", "check", "--frozen", "needs.json")
    assert code == 1 and f"{SPECS[0]}: step {step.key[:12]}: it is not in the cache\n" in out
    doc = json_of(capsys, "cache", "check", "needs.json", code=1)  # where compiling is allowed, only what is absent counts
    assert [f["key"] for f in doc["findings"]] == [step.key] and len(doc["notes"]) == 3
    assert run(capsys, "cache", "check", "--frozen", "needs.json", "--dir", str(here / "nothing"))[0] == 1
    assert not os.path.exists(here / "nothing" / "v1")
    assert os.path.exists(own.path(pool_key(manifest)))  # to check is to look


def test_a_read_only_layer_covers_too(capsys, here, monkeypatch):
    monkeypatch.setenv("INGOT_CACHE_PATH", str(here / "cache"))
    monkeypatch.setenv("INGOT_CACHE_DIR", str(here / "fresh"))
    assert run(capsys, "cache", "check", "--frozen", "needs.json")[0] == 0
    manifest = deployment.load("needs.json")
    damaged = Layer(str(here / "fresh"), True)
    damaged.put(pool_key(manifest), b"x")
    assert run(capsys, "cache", "check", "--frozen", "needs.json")[0] == 0
    os.chmod(here / "cache", 0o777)
    assert run(capsys, "cache", "check", "--frozen", "needs.json")[0] == 4


def test_another_ingot_never_asks_for_these_keys(capsys, here, monkeypatch):
    def older(doc):
        for f in doc["functions"]:
            for k in f["keys"]:
                k["preimage"]["sources"] = "0" * 64
                k["preimage"]["toolchain"]["llvm"] = "1.2.3"

    path = edited(here, older)
    doc = json_of(capsys, "cache", "check", "--frozen", path, code=1)
    assert len(doc["findings"]) == 3
    for f in doc["findings"]:
        assert "this Ingot will never ask for these" in f["reason"] and "the manifest has 000000000000" in f["reason"]
        assert "toolchain.llvm is" in f["reason"] and "1.2.3" in f["reason"]
    assert run(capsys, "cache", "check", path)[0] == 0
    assert "note: " in run(capsys, "cache", "check", path)[1]


def test_it_is_the_level_that_counts(capsys, here, monkeypatch):
    if HOST == LOWEST:
        pytest.skip("this CPU has the lowest level only")
    code, out, _ = run(capsys, "cache", "check", "--frozen", "needs.json", "--for-target", LOWEST)
    assert code == 1 and f"warmed for {HOST} only; warm it with --for-target {LOWEST}" in out
    monkeypatch.setenv("INGOT_CPU_LEVEL", LOWEST)  # what this machine would ask for now
    assert run(capsys, "cache", "check", "--frozen", "needs.json")[0] == 1
    assert run(capsys, "cache", "check", "--frozen", "needs.json", "--for-target", HOST)[0] == 0
    assert run(capsys, "cache", "check", "--frozen", "needs.json", "--for-target", "z80")[0] == 2
    monkeypatch.delenv("INGOT_CPU_LEVEL")

    def moved(doc):
        for f in doc["functions"]:
            for k in f["keys"]:
                k["target"] = FOREIGN

    code, out, _ = run(capsys, "cache", "check", "--frozen", edited(here, moved))
    assert code == 1 and f"it is code for {FOREIGN}" in out


def broken(path, value):
    """A change that puts `value` at a path of a manifest (`del`: removes what is there)."""

    def change(doc):
        *way, last = path
        for step in way:
            doc = doc[step]
        if value is del_:
            del doc[last]
        else:
            doc[last] = value

    return change


del_ = object()
FIRST = ("functions", 0)
KEY = (*FIRST, "keys", 0)


@pytest.mark.parametrize(
    "path, value",
    [
        (("kind",), "something"), (("schema_version",), 2), (("schema_version",), True), (("sources",), None), (("toolchain",), []),
        (("functions",), {}), (("functions",), []), (FIRST, 3), ((*FIRST, "spec"), del_), ((*FIRST, "no_grad"), 0), ((*FIRST, "target"), 1),
        ((*FIRST, "keys"), "x"), (KEY, None), ((*KEY, "key"), "../../x"), ((*KEY, "key"), "A" * 64), ((*KEY, "key"), 5),
        ((*KEY, "preimage"), "x"), ((*KEY, "name"), ["x"]), ((*KEY, "target"), del_), ((*KEY, "signature"), {}),
    ],
)  # fmt: skip
def test_what_is_no_manifest(capsys, here, path, value):
    code, out, err = run(capsys, "cache", "check", "--frozen", edited(here, broken(path, value)))
    assert code == 2 and not out and "is no manifest" in err and err.count("\n") == 1


def test_what_is_no_file_of_a_manifest(capsys, here):
    for content in (b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b"null"):
        (here / "x").write_bytes(content)
        code, _, err = run(capsys, "cache", "check", str(here / "x"))
        assert code == 2 and "is no manifest" in err
    assert run(capsys, "cache", "check", str(here / "missing"))[0] == 5
    assert run(capsys, "cache", "check", str(here))[0] == 5
    assert run(capsys, "cache", "check")[0] == 2
    assert "example: ingot cache check --frozen" in run(capsys, "cache", "check", "--help")[1]


@pytest.mark.parametrize("field", ["preimage", "options", "toolchain", "target"])
def test_odd_preimages_are_differences(capsys, here, field):
    def odd(doc):
        k = doc["functions"][0]["keys"][0]
        if field == "preimage":
            k["preimage"] = {}
        else:
            k["preimage"][field] = {"x": [1]} if field == "options" else 7

    code, out, _ = run(capsys, "cache", "check", "--frozen", edited(here, odd))
    assert code == 1 and "never ask" in out
