"""The objects that are kept are what LLVM makes of their texts, and nobody asks LLVM for them."""

import pytest

from ingot.backends.cpu import driver, pool, prebuild, prebuilt, prebuilt_objects
from ingot.backends.cpu.levels import common_level
from ingot.backends.llvm import codegen

ARCHITECTURES = ("x86_64", "aarch64")


def same_llvm():
    import llvmlite.binding as llvm

    return ".".join(map(str, llvm.llvm_version_info)) == prebuilt_objects.LLVM


def test_they_are_byte_for_byte_what_llvm_makes():
    made = prebuild.objects()
    assert made.keys() == prebuilt_objects.OBJECTS.keys(), "run python -m ingot.backends.cpu.prebuild"
    if same_llvm():
        assert prebuild.contents() == open(prebuilt_objects.__file__, encoding="utf-8").read()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_they_are_found_without_a_compiler(arch, monkeypatch):
    monkeypatch.setattr(codegen, "object_code", lambda *a, **k: pytest.fail("LLVM was asked"))
    assert driver.is_ready(arch)
    for build in (driver.build, driver.build_copy):
        assert build.__wrapped__(arch)
    assert driver.build.__wrapped__(arch, True) != driver.build.__wrapped__(arch)
    assert pool.build(arch).code


def test_a_text_that_was_changed_is_compiled():
    level = common_level("x86_64")
    text = driver.texts("x86_64")[2]
    changed = text.replace("define void @", "define void @another_", 1)
    assert prebuilt.is_kept(text, level) and not prebuilt.is_kept(changed, level)
    assert prebuilt.object_of(changed, level) == codegen.object_code(changed, level, inline=True) != prebuilt.object_of(text, level)
