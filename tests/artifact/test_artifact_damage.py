"""A real artifact altered at every byte, cut at every length, and told lies: refused in one line, or harmless; never a wrong number."""

import json
import os

import numpy as np
import pytest

from ingot.runtime import digest
from ingot.runtime.artifact import ArtifactError, host, load, model, strict, tensors
from ingot.runtime.artifact.container import _HEADER as HEADER
from ingot.runtime.artifact.container import Container
from ingot.runtime.cli import main
from tests.support.forging import contents, forge, rewrite


def one_line(error):
    text = str(error)
    assert text and "\n" not in text and text.isprintable() and len(text) < 1000, text
    return text


def flips(data, parts, long):
    """(offset, bits): in the short form the header, a part of each part, and some of everything."""
    if long:
        yield from ((at, bits) for at in range(len(data)) for bits in (0xFF, 1 << at % 8))
        return
    edges = [(0, 200), *((max(at - 16, 0), at + 48) for at, _, _ in parts.values()), (len(data) - 32, len(data))]
    chosen = {at for a, b in edges for at in range(a, b)} | set(range(0, len(data), 89))
    yield from ((at, 0xFF if at % 2 else 1 << at % 8) for at in sorted(chosen))


def test_every_byte_flipped(real, copy, long):
    with Container(copy) as c:
        parts, m = c.parts, model.Model(c)
    read = {m._target.code, m._target.pool, "weights"}
    harmless = [(at, at + n) for name, (at, n, _) in parts.items() if name not in read]
    fd = os.open(copy, os.O_RDWR)
    try:
        for at, bits in flips(real.data, parts, long):
            os.pwrite(fd, bytes([real.data[at] ^ bits]), at)
            elsewhere = any(a <= at < b for a, b in harmless)
            try:
                m = load(copy)
            except ArtifactError as e:
                assert not elsewhere, (at, bits)
                one_line(e)
            else:  # a part that this call does not need
                assert elsewhere and real.right(m(*real.args)), (at, bits)
            with pytest.raises(ArtifactError), Container(copy) as c:
                model.validate(c)
            os.pwrite(fd, real.data[at : at + 1], at)
    finally:
        os.close(fd)
    assert real.right(load(copy)(*real.args))


@pytest.mark.parametrize("block", (digest.BLOCK, 64))
def test_every_flip_in_large_weights(real, copy, monkeypatch, block):
    """Weights that are checked before the first call, not at load: refused then, or at load where their header makes no sense.

    By blocks, too, of which threads check one each.
    """
    monkeypatch.setattr(model, "CHECK_AT_LOAD", 0)
    monkeypatch.setattr(digest, "BLOCK", block)
    rewrite(copy, *contents(copy))
    with open(copy, "rb") as f:
        whole = f.read()
    assert (b'"blocks"' in whole) is (block == 64)
    with Container(copy) as c:
        start, length, _ = c.parts["weights"]
    fd = os.open(copy, os.O_RDWR)
    try:
        for at in range(start, start + length):
            os.pwrite(fd, bytes([whole[at] ^ 1 << at % 8]), at)
            with pytest.raises(ArtifactError):
                m = load(copy)
                for _ in range(2):
                    with pytest.raises(ArtifactError, match="'weights' is damaged"):
                        m(*real.args)
                m(*real.args)
            os.pwrite(fd, whole[at : at + 1], at)
    finally:
        os.close(fd)
    assert real.right(load(copy)(*real.args))


def test_truncated_at_every_length(real, copy, long):
    size = len(real.data)
    lengths = range(size - 1, -1, -1) if long else sorted({*range(300), *range(0, size, 41), size - 1}, reverse=True)
    for n in lengths:
        os.truncate(copy, n)
        with pytest.raises(ArtifactError):
            load(copy)


def test_the_commands_on_damaged_files(real, copy, capsys):
    """inspect and verify: exit code 1, and the reason in one line."""
    with Container(copy) as c:
        starts = [at for at, _, _ in c.parts.values()]
    for at in (0, 9, 20, 30, 60, 100, starts[0] - 1, *starts, len(real.data) - 1):
        with open(copy, "wb") as f:
            f.write(real.data[:at] + bytes([real.data[at] ^ 4]) + real.data[at + 1 :])
        refused(copy, capsys)
    for n in (0, 1, 7, 50, HEADER.size, 500, starts[0], len(real.data) - 1):
        with open(copy, "wb") as f:
            f.write(real.data[:n])
        refused(copy, capsys)


def refused(path, capsys, why=""):
    with pytest.raises(ArtifactError) as e, Container(path) as c:
        model.validate(c)
    assert why in one_line(e.value)
    for command in (["inspect", path], ["verify", path], ["verify", "--run", path], ["inspect", path, "--json"]):
        assert main(command) == 1, command
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and one_line(err.rstrip("\n")).startswith(f"ingot: {path}: ") and why in err


# -- lies whose checksums are right ------------------------------------------------------------------------------------


def lie(name, why):
    """A function that changes (manifest, parts) or gives a function that changes the table of parts; and the reason it is refused for."""

    def note(f):
        LIES.append(pytest.param(f, why, id=name))
        return f

    return note


LIES: list = []


@lie("two parts share bytes", "overlaps its neighbour")
def _(manifest, parts):
    return lambda rows: [rows[0], {**rows[1], "offset": rows[0]["offset"]}, *rows[2:]]


@lie("a part over the header", "overlaps its neighbour")
def _(manifest, parts):
    return lambda rows: [{**rows[0], "offset": 0}, *rows[1:]]


@lie("a part over the manifest", "overlaps its neighbour")
def _(manifest, parts):
    return lambda rows: [{**rows[0], "offset": HEADER.size}, *rows[1:]]


@lie("one name twice", "two parts are called")
def _(manifest, parts):
    return lambda rows: [rows[0], {**rows[1], "name": rows[0]["name"]}, *rows[2:]]


@lie("a part that leaves the file", "leaves the file")
def _(manifest, parts):
    return lambda rows: [*rows[:-1], {**rows[-1], "length": 1 << 60}]


@lie("bytes behind the last part", "bytes follow the last part")
def _(manifest, parts):
    return lambda rows: [*rows[:-1], {**rows[-1], "length": rows[-1]["length"] - 1}]


@lie("parts out of order", "overlaps its neighbour")
def _(manifest, parts):
    return lambda rows: [rows[1], rows[0], *rows[2:]]


@lie("no parts", "lists no parts")
def _(manifest, parts):
    return lambda rows: None


@lie("a part fewer than needed", "there is no part")
def _(manifest, parts):
    del parts[manifest["targets"][0]["code"]]


@lie("no weights", "needs weight")
def _(manifest, parts):
    del parts["weights"]


@lie("no golden part", "'golden' is missing")
def _(manifest, parts):
    del parts["golden"]


PATHS = ("/etc/passwd", "../x", "code/../../x", "a//b", ".", "./x", "", "a\0b", "a\nb", "\x1b[2J", "a\\b", "x" * 100_000, "\ud800")


@pytest.mark.parametrize("name", PATHS, ids=[ascii(n[:12]) for n in PATHS])
def test_names_that_are_no_plain_ones(real, copy, capsys, name):
    """Of parts, of weights in their section, and of weights in the manifest."""
    manifest, parts = contents(real.path)
    assert not strict.plain_name(name)
    rewrite(copy, manifest, {**parts, name: b"data"})
    refused(copy, capsys, "which is no plain name")

    arrays = {n: np.array(a) for n, a in tensors.unpack(memoryview(parts["weights"])).items()}
    with pytest.raises(ValueError, match="a tensor cannot be called"):
        tensors.pack({**arrays, name: np.zeros(3, np.float32)})
    section = b"".join(bytes(p) for p in tensors.pack({**arrays, "stranger": np.zeros(3, np.float32)}))
    end = 8 + int.from_bytes(section[:8], "little")
    header = section[8:end].replace(b'"stranger"', json.dumps(name).encode())
    rewrite(copy, manifest, {**parts, "weights": len(header).to_bytes(8, "little") + header + section[end:]})
    refused(copy, capsys, "is no plain name")

    manifest["feed"] = [["weight", name] if kind == "weight" else [kind, i] for kind, i in manifest["feed"]]
    rewrite(copy, manifest, parts)
    refused(copy, capsys, "expected ['input', number] or ['weight', name]")


def weights(change):
    def apply(manifest, parts):
        arrays = {n: np.array(a) for n, a in tensors.unpack(memoryview(parts["weights"])).items()}
        change(arrays)
        parts["weights"] = b"".join(bytes(p) for p in tensors.pack(arrays))

    return apply


lie("weights of another dtype", "expects f32[3, 8] for weight")(
    weights(lambda w: w.update({k: a.view(np.int32) for k, a in w.items() if a.ndim == 2}))
)
lie("wider weights", "expects f32[3, 8] for weight")(
    weights(lambda w: w.update({k: a.astype(np.float64) for k, a in w.items() if a.ndim == 2}))
)
lie("weights transposed", "expects f32[3, 8] for weight")(weights(lambda w: w.update({k: a.T.copy() for k, a in w.items() if a.ndim == 2})))
lie("fewer weights", "expects f32[3, 8] for weight")(weights(lambda w: w.update({k: a[:2] for k, a in w.items() if a.ndim == 2})))
lie("weights of another name", "needs weight")(weights(lambda w: [w.update({k + "s": w.pop(k)}) for k in list(w)]))
lie("more weights than the peak", "fewer than its parts take")(weights(lambda w: w.update(more=np.zeros(100_000))))


@lie("weights cut short", "tensors are malformed")
def _(manifest, parts):
    parts["weights"] = parts["weights"][:-1]


@lie("weights with something behind", "tensors are malformed")
def _(manifest, parts):
    parts["weights"] += b"\0"


@lie("weights with a header of 2**62 bytes", "a header of 4611686018427387904 bytes")
def _(manifest, parts):
    parts["weights"] = (1 << 62).to_bytes(8, "little") + parts["weights"][8:]


@lie("golden samples of another shape", "golden samples are malformed")
def _(manifest, parts):
    arrays = {n: np.array(a) for n, a in tensors.unpack(memoryview(parts["golden"])).items()}
    arrays["in.0"] = arrays["in.0"].T
    parts["golden"] = b"".join(bytes(p) for p in tensors.pack(arrays))


@pytest.mark.parametrize("change, why", LIES)
def test_lies(real, copy, capsys, change, why):
    manifest, parts = contents(copy)
    rewrite(copy, manifest, parts, change(manifest, parts))
    refused(copy, capsys, why)
    if "golden" not in why:  # which calls do not need
        with pytest.raises(ArtifactError) as e:
            load(copy)
        assert why in one_line(e.value)


def test_a_newer_schema(real, copy, capsys):
    start = HEADER.size
    end = start + HEADER.unpack(real.data[:start])[3]
    text, rest = real.data[start:end], real.data[end:]
    forge(copy, text, rest)
    assert real.right(load(copy)(*real.args))
    for schema, why in ((4, "schema 4 is newer than this Ingot reads (up to 3); upgrade ingot"), (0, "there is no schema 0")):
        forge(copy, text, rest, schema=schema)
        with pytest.raises(ArtifactError) as e:
            load(copy)
        assert why in one_line(e.value)
        refused(copy, capsys, why)


def test_over_long(real, copy, capsys):
    for more in (b"\0", b"x", real.data):
        with open(copy, "wb") as f:
            f.write(real.data + more)
        with pytest.raises(ArtifactError, match="too long"):
            load(copy)
        refused(copy, capsys, "too long")


def test_the_wrong_cpu(real, monkeypatch, capsys):
    """Refused when loaded and run; inspected and compared with its checksums anywhere."""
    monkeypatch.setattr(host, "features", lambda: frozenset({"fpu", "sse2"}))
    for arch, why in ((host.architecture(), "needs "), ("pdp11", "is for x86_64")):
        monkeypatch.setattr(host, "architecture", lambda arch=arch: arch)
        with pytest.raises(ArtifactError, match=r"no code for this CPU \(" + arch) as e:
            load(real.path)
        assert why in one_line(e.value)
        assert main(["verify", "--run", real.path]) == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert main(["inspect", real.path]) == 0 and main(["verify", real.path]) == 0
        out = capsys.readouterr().out
        assert "this machine lacks" in out and "runs here" not in out and "every checksum right" in out


def test_what_is_no_file(tmp_path, capsys):
    import ingot

    pipe = str(tmp_path / "pipe.ingot")
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero", "/dev/null"):  # none of them is waited for, or read to its end
        with pytest.raises(ArtifactError, match="a pipe or a device"):
            load(path)
        refused(path, capsys, "a pipe or a device")
    with pytest.raises(IsADirectoryError):
        ingot.load(str(tmp_path))
    assert main(["inspect", str(tmp_path)]) == 5 and main(["verify", str(tmp_path / "none")]) == 5
