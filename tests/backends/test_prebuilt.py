"""The objects that come with the package are what LLVM makes of their texts, and nobody asks LLVM for them."""

import subprocess
import sys

import pytest

from ingot import _prompt
from ingot.backends.cpu import driver, pool, prebuild, prebuilt, prebuilt_objects
from ingot.backends.cpu.kernels import emit_kernel
from ingot.backends.cpu.levels import LEVELS, common_level
from ingot.backends.llvm import codegen
from tests.support.processes import with_tests

ARCHITECTURES = ("x86_64", "aarch64")


def present():
    with open(prebuilt.FILE, "rb") as f:
        return f.read()


def same_llvm():
    import llvmlite.binding as llvm

    return ".".join(map(str, llvm.llvm_version_info)) == prebuilt_objects.LLVM


def test_they_are_byte_for_byte_what_llvm_makes():
    made = prebuild.objects()
    assert made.keys() == prebuilt_objects.OBJECTS.keys(), "run python -m ingot.backends.cpu.prebuild"
    if same_llvm():
        assert prebuild.contents(present()) == open(prebuilt_objects.__file__, encoding="utf-8").read()


def test_kernels_are_those_that_people_begin_with():
    """Byte for byte what LLVM makes of what the lines become."""
    asked = list(_prompt.kernels())
    missing = [f"{level.name}:\n{text}" for k, level in asked if prebuilt.kernel_object(text := emit_kernel(level, k)[0], level) is None]
    assert not missing, f"run python -m ingot._prompt: {missing[0]}"
    if same_llvm():
        assert prebuild.kernels(asked) == present(), "run python -m ingot._prompt"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_they_are_found_without_a_compiler(arch, monkeypatch):
    monkeypatch.setattr(codegen, "object_code", lambda *a, **k: pytest.fail("LLVM was asked"))
    assert driver.is_ready(arch)
    for build in (driver.build, driver.build_copy):
        assert build.__wrapped__(arch)
    assert driver.build.__wrapped__(arch, True) != driver.build.__wrapped__(arch)
    assert pool.build(arch).code


FIRST = """
import sys
import ingot
from ingot.runtime import compiler
x = ingot.randn(20, 16)
print(*x.numpy().shape, x.sum().item() < 100, (x @ x.T).softmax(-1).sum().item() > 19, (ingot.tensor([[1.0] * 4] * 3) * 2).tolist()[0])
print(compiler.kernel_counts["compiled"], "llvmlite" in sys.modules)
ingot.ones(5).erfinv().numpy()
print(compiler.kernel_counts["compiled"], "llvmlite" in sys.modules)
"""


@pytest.mark.skipif(not same_llvm(), reason="made by another LLVM, whose version only LLVM tells")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_session_begins_without_llvm(tmp_path, threads):
    env = {**with_tests(), "INGOT_CACHE_DIR": str(tmp_path / "cache"), "INGOT_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", FIRST], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["20 16 True True [2.0, 2.0, 2.0, 2.0]", "0 False", "1 True"], done.stdout + done.stderr


@pytest.mark.parametrize("data", [None, b"", b"\1\0\0\0" + bytes(40)], ids=["missing", "empty", "other"])
def test_a_file_of_kernels_that_is_not_the_packages_is_not_read(data, tmp_path, monkeypatch):
    if data is not None:
        (tmp_path / "kernels").write_bytes(data)
    monkeypatch.setattr(prebuilt, "FILE", str(tmp_path / "kernels"))
    prebuilt._kernels.cache_clear()
    try:
        assert prebuilt.kernel_object("", LEVELS["x86-64-v3"]) is None
    finally:
        prebuilt._kernels.cache_clear()


def test_equal_objects_are_kept_once(tmp_path, monkeypatch):
    import hashlib
    import zlib

    level = LEVELS["x86-64-v3"]
    texts = {f"text {i}": zlib.compress(b"one" if i % 2 else b"%d" % i) for i in range(40)}
    data = prebuilt.packed({prebuilt.digest(t, level): o for t, o in texts.items()})
    assert len(data) == 4 + 40 * 24 + sum(map(len, set(texts.values())))
    (tmp_path / "kernels").write_bytes(data)
    monkeypatch.setattr(prebuilt, "FILE", str(tmp_path / "kernels"))
    monkeypatch.setattr(prebuilt, "KERNELS", hashlib.sha256(data).hexdigest())
    prebuilt._kernels.cache_clear()
    try:
        assert all(prebuilt.kernel_object(t, level) == zlib.decompress(o) for t, o in texts.items())
        assert prebuilt.kernel_object("text 40", level) is None
    finally:
        prebuilt._kernels.cache_clear()


def test_a_text_that_was_changed_is_compiled():
    level = common_level("x86_64")
    text = driver.texts("x86_64")[2]
    changed = text.replace("define void @", "define void @another_", 1)
    assert prebuilt.is_kept(text, level) and not prebuilt.is_kept(changed, level)
    assert prebuilt.object_of(changed, level) == codegen.object_code(changed, level, inline=True) != prebuilt.object_of(text, level)
