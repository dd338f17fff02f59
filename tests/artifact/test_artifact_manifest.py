"""The manifest: every field of another type is refused with its name, or does not matter; nothing else ever comes out."""

import contextlib
import io
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from ingot.runtime import digest
from ingot.runtime.artifact import ArtifactError, host, load, manifest, strict
from ingot.runtime.artifact.container import Container
from ingot.runtime.cli import artifact_verbs
from tests.support.forging import contents, forge, rewrite

WEIRD = (
    None, True, False, 0, -1, 7, 1.5, 10**30, -(10**399), "", "x", "\ud800", "\0", "../x", "x" * 5000, [], [[]], ["x"], [0], {}, {"x": 1},
    {"tuple": ["*"]}, {"value": []}, {"parts": []}, [None] * 100,
)  # fmt: skip


def kind(value):
    return "number" if type(value) in (int, float) else type(value).__name__


def places(value, path=()):
    """The path of every field within JSON, and of every element of a list."""
    if path:
        yield path
    for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(v, (*path, k))


def replaced(value, path, new):
    """A copy with `new` at `path`; where `new` is KeyError, with nothing there."""
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    if len(path) == 1 and new is KeyError:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def at(value, path):
    for step in path:
        value = value[step]
    return value


def try_all(path, args):
    """Load, call, inspect and verify: only ArtifactError, in one line, may come out of loading. True where it loaded."""
    refusals = 0
    for what in (load, lambda p: artifact_verbs.inspect(p, False), lambda p: artifact_verbs.inspect(p, True)):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                loaded = what(path)
        except ArtifactError as e:
            refusals += 1
            assert "\n" not in str(e) and str(e).isprintable() and len(str(e)) < 1000
            continue
        if what is load:
            with contextlib.suppress(TypeError, ValueError):  # a fixed value that is another one now
                loaded(*args)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = artifact_verbs.verify([path], True, True)
    assert code in (0, 1) and err.getvalue().count("\n") == code and json.loads(out.getvalue())["ok"] is (code == 0)
    return refusals < 3


def test_every_field_of_every_other_type(real, copy, long):
    whole, parts = contents(real.path)
    accepted = set()
    for i, path in enumerate(places(whole)):
        for new in (KeyError, *(WEIRD if long else WEIRD[i % 5 :: 5])):
            if new is not KeyError and kind(new) == kind(at(whole, path)):
                continue  # another value of the same type may be a lie about the code, which no checksum can show
            rewrite(copy, replaced(whole, path, new), parts)
            if try_all(copy, real.args):
                accepted.add((*(p for p in path if isinstance(p, str)), "missing" if new is KeyError else kind(new)))
    accepted = {a for a in accepted if a[0] not in ("in_tree", "out_tree")}  # where the same tensors may be nested otherwise
    required = {a for a in accepted if a[-1] != "missing" and a[-2:] != ("golden", "NoneType") and "checks" not in a}
    assert not required, "of another type, and yet accepted"
    missing = {a[-2] for a in accepted if a[-1] == "missing"}
    # the last two are lists: a target may be missing, and a feature
    assert missing == {"peak_bytes", "worker_bytes", "golden", "level", "checks", "1", "node", "tiny", "targets", "features"}


def test_every_field_of_the_table_of_parts(real, copy, long):
    whole, parts = contents(real.path)
    with Container(real.path) as c:
        rows = c.manifest["parts"]
    for i, path in enumerate(places(rows)):
        for new in (KeyError, *(WEIRD if long else WEIRD[i % 3 :: 3])):
            if new is KeyError or kind(new) != kind(at(rows, path)) or path[-1] in ("offset", "length"):
                rewrite(copy, whole, parts, lambda r: replaced(r, path, new))  # noqa: B023
                with pytest.raises(ArtifactError):
                    load(copy)


def test_checksums_of_blocks_are_all_there(real, copy, monkeypatch):
    monkeypatch.setattr(digest, "BLOCK", 64)
    whole, parts = contents(real.path)
    for new in ([], {}, None, "00", lambda sums: sums[1:], lambda sums: [*sums, sums[0]], lambda sums: [0, *sums[1:]]):
        def table(rows):
            return [{**r, "blocks": new(r["blocks"]) if callable(new) else new} if r["name"] == "weights" else r for r in rows]  # noqa: B023

        rewrite(copy, whole, parts, table)
        if new is None:  # as a file without them
            assert real.right(load(copy)(*real.args))
        else:
            with pytest.raises(ArtifactError):
                load(copy)


def test_several_fields_at_once(real, copy, long):
    whole, parts = contents(real.path)
    for seed in range(20_000 if long else 150):
        rng = random.Random(seed)
        changed = whole
        for _ in range(rng.randint(2, 4)):
            path = rng.choice(list(places(changed)))
            new = rng.choice((KeyError, *WEIRD, at(changed, rng.choice(list(places(changed))))))
            if new is KeyError or kind(new) != kind(at(changed, path)):
                changed = replaced(changed, path, new)
        rewrite(copy, changed, parts)
        try:
            try_all(copy, real.args)
        except BaseException:
            print(f"seed {seed}")
            raise


@pytest.mark.parametrize(
    "text, why",
    [
        (b'{"a": NaN}', "NaN is no number"), (b'{"a": -Infinity}', "-Infinity is no number"), (b'{"a": 1e999}', "1e999 is out of range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "out of range"), (b'{"a": 0.' + b"9" * 5000 + b"}", "out of range"),
        (b'{"a": 1, "a": 2}', "a name occurs twice"), (b'{"a": 1} x', "Extra data"), (b'{"a": "\xff"}', "utf-8"),
        ('{"a": 1}'.encode("utf-16"), "no JSON"), (b"\xef\xbb\xbf{}", "BOM"), (b'{"a":' * 50_000, "nested too deeply"),
        (b"[" * 50_000, "nested too deeply"), (b"", "no JSON"), (b"null", "no JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_strict_json(tmp_path, text, why):
    path = str(tmp_path / "m.ingot")
    forge(path, text)
    with pytest.raises(ArtifactError, match=why):
        load(path)


def test_a_field_is_named_with_what_was_expected(real, copy):
    whole, parts = contents(real.path)
    level = load(real.path).level
    chosen = [t["level"] for t in whole["targets"]].index(level)
    peak = whole["targets"][chosen]["peak_bytes"]
    for path, new, text in (
        (("name",), 3, "name: expected printable text, got 3"),
        (("inputs", 1, "dtype"), "f31", "inputs[1].dtype: expected a dtype, got 'f31'"),
        (("inputs", 0), [], "inputs[0]: expected an object, got a list"),
        (("targets", 1, "features", 0), {}, "targets[1].features[0]: expected printable text, got a dict"),
        (("targets", 0, "executable", "arena_bytes"), -1, "targets[0].executable.arena_bytes: expected a number of bytes"),
        (("targets", 0, "executable", "entry"), "system", "targets[0].executable.entry: expected a symbol of Ingot's, got 'system'"),
        (("targets", chosen, "peak_bytes"), peak - 1, f"at {level} peak_bytes is {peak - 1}, fewer than its parts take ({peak})"),
        (("targets", 0, "executable", "inputs", 0), "f32[8,4]", "targets[0].executable.inputs[0]: the code expects 'f32[8,4]'"),
        (("golden", "rtol"), 1e9, "golden.rtol: expected a number from 0 to 1, got 1000000000.0"),
        (("producer",), KeyError, "producer is missing"),
    ):
        rewrite(copy, replaced(whole, path, new), parts)
        with pytest.raises(ArtifactError) as e:
            load(copy)
        assert str(e.value).startswith(f"{copy}: the manifest is malformed: {text}")


def test_fields_that_came_later_may_be_missing(real, copy):
    """Files of schema 1 that were written before them say the same of their memory."""
    whole, parts = contents(real.path)
    for t in whole["targets"]:
        assert t.pop("peak_bytes") > 0 and t.pop("worker_bytes") >= 0
    del whole["golden"]["level"]
    rewrite(copy, {**whole, "later": {"still": [1]}}, parts)
    old, new = load(copy), load(real.path)
    assert old.peak_bytes == new.peak_bytes and real.right(old(*real.args))
    assert [a.allowed for a in old.verify()] == [1.0, 0.0, 1.0]  # within the tolerances; flags are flags
    assert [a.allowed for a in new.verify()] == [0.0, 0.0, 0.0]


def test_regular_expressions_end(real, copy):
    """A pattern that backtracks would take for ever over these."""
    whole, parts = contents(real.path)
    for text in ("f32[" + "1" * 1300, "f32[" + "1," * 600, "f32[" + "1" * 1300 + "]", "f" * 5000):
        rewrite(copy, replaced(whole, ("targets", 0, "executable", "inputs", 0), text), parts)
        with pytest.raises(ArtifactError):
            load(copy)


@pytest.mark.parametrize("shape", [[2**45], [0, 2**62], [2**23] * 2, [10**300], [0] * 65, [2**40, 0, 2**40]])
def test_shapes_of_no_sane_size(real, copy, shape):
    whole, parts = contents(real.path)
    rewrite(copy, replaced(whole, ("outputs", 0, "shape"), shape), parts)
    with pytest.raises(ArtifactError, match=r"outputs\[0\].shape: expected a shape of a sane size"):
        load(copy)


# -- what it says ------------------------------------------------------------------------------------------------------


def test_memory(tmp_path, monkeypatch):
    """peak_bytes is what one call with one thread takes, worker_bytes what each further thread adds: at every place the same."""
    import ingot
    from ingot.runtime import memory, threads

    ingot.manual_seed(0)
    path = str(tmp_path / "m.ingot")
    nn = ingot.nn
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 40), nn.Softmax(1))
    x = ingot.randn(4, 3, 32, 32)
    ingot.export(net, (x,), path)
    with Container(path) as c:
        m = manifest.read(c)
    (target,) = m.targets
    code = target.executable
    weights = 4 * sum(p.numel() for p in net.parameters()) + code["kept"]
    assert code["arena_bytes"] > 0 and target.worker_bytes == code["scratch_bytes"]
    assert target.peak_bytes == weights + 4 * x.numel() + 4 * 4 * 40 + -(-code["arena_bytes"] // 64) * 64 + code["scratch_bytes"]
    before, model = threads.get_num_threads(), load(path)
    try:
        for n in (1, 3):
            threads.set_num_threads(n)
            assert model.peak_bytes == target.peak_bytes + (n - 1) * target.worker_bytes
            leased = []
            bin_for, allocate = memory.bin_for, memory.allocate
            monkeypatch.setattr(memory, "bin_for", lambda n: leased.append(n) or bin_for(n))  # noqa: B023
            monkeypatch.setattr(memory, "allocate", lambda n: leased.append(n) or allocate(n))  # noqa: B023
            model(x.numpy())
            monkeypatch.undo()
            at_most = sorted(leased)  # what it allocates: the arena with every worker's scratch, and the output
            assert sum(at_most) >= 640 and sum(at_most) + weights + 4 * x.numel() in (model.peak_bytes, model.peak_bytes + 640)
    finally:
        threads.set_num_threads(before)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        artifact_verbs.inspect(path, True)
    (shown,) = json.loads(out.getvalue())["targets"]
    assert (shown["peak_bytes"], shown["worker_bytes"]) == (target.peak_bytes, target.worker_bytes)


def test_the_producer_names_its_versions(real):
    import llvmlite
    import llvmlite.binding as llvm

    import ingot

    version = ".".join(map(str, llvm.llvm_version_info))
    assert load(real.path).producer == f"ingot {ingot.__version__} (llvmlite {llvmlite.__version__}, LLVM {version})"


def test_inspect_has_everything(real):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert artifact_verbs.inspect(real.path, True) == 0
    d = json.loads(out.getvalue())
    model = load(real.path)
    assert d["signature"] == model.signature and d["schema"] == 1 and d["producer"] == model.producer
    assert [i["name"] for i in d["inputs"]] == ["batch.0", "index", "scale"] and d["inputs"][1]["dtype"] == "int64"
    assert d["weight_bytes"] == 4 * 27 and d["golden"]["level"] == model.level
    by_level = {t["level"]: t for t in d["targets"]}
    assert by_level.keys() == {"aarch64", "x86-64-v2"} and "sse4_2" in by_level["x86-64-v2"]["features"]
    assert by_level[model.level]["runs_here"] and by_level[model.level]["peak_bytes"] == manifest_peak(real.path, model.level)
    for t in d["targets"]:
        assert t["runs_here"] == (t["arch"] == host.architecture()) and bool(t["lacks"]) != t["runs_here"]
    with Container(real.path) as c:
        assert {p["name"]: (p["offset"], p["bytes"], p["sha256"]) for p in d["parts"]} == c.parts
        assert all(p["checked"] for p in d["parts"]) and d["bytes"] == c.size


def test_names_that_a_terminal_cannot_show(real, tmp_path):
    """Letters that the encoding has not, and a file whose name is no text."""
    whole, parts = contents(real.path)
    path = os.fsencode(tmp_path) + b"/\xff.ingot"
    rewrite(path, {**whole, "name": "größe"}, {**parts, "größe": b"data"})
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (["inspect"], ["inspect", "--json"], ["verify", "--run"]):
        done = subprocess.run([sys.executable, "-m", "ingot.runtime.cli", *command, path], capture_output=True, env=env, timeout=300)
        assert done.returncode == 0 and not done.stderr and b"\\udcff.ingot" in done.stdout, done.stderr
        assert command == ["verify", "--run"] or b"gr\\xf6\\xdfe" in done.stdout or b"gr\\u00f6\\u00dfe" in done.stdout


def manifest_peak(path, level):
    with Container(path) as c:
        return next(t.peak_bytes for t in manifest.read(c).targets if t.level == level)


def test_numbers_that_json_has_not(tmp_path):
    import ingot

    path = str(tmp_path / "m.ingot")
    inf = float("inf")

    def f(x, low, high, none):
        return x * 2, high, low, none

    ingot.export(f, (ingot.ones(3), -inf, inf, float("nan")), path)
    with Container(path) as c:
        json.dumps(c.manifest, allow_nan=False)
    m = load(path)
    x = np.ones(3, np.float32)
    got = m(x, -inf, inf, float("nan"))
    np.testing.assert_array_equal(got[0], [2, 2, 2])
    assert got[1:3] == (inf, -inf) and got[3] != got[3]
    for args in ((-inf, 1.0, float("nan")), (inf, inf, float("nan")), (-inf, inf, 0.0), (-inf, inf, None), (-inf, x, float("nan"))):
        with pytest.raises(ValueError, match="exported for"):
            m(x, *args)


def test_names():
    for good in ("a", "code/x86-64-v3", "layers.0.weight", "a..b", "größe", "a b"):
        assert strict.plain_name(good), good
    for bad in ("", ".", "..", "/a", "a/", "a/../b", "a\tb", "a\u202eb", None, 3, "a" * 1025):
        assert not strict.plain_name(bad), bad
