"""What stands between LLVM IR text and the code generator, which ends the process where it meets malformed IR."""

import os
import signal
import threading

import pytest

from ingot.backends import NAMES, backend
from ingot.backends.llvm import codegen

EVERY = [level for name in NAMES for level in backend(name).levels.values()]

# it parses; that %x is not there where the branch is not taken, only the verifier sees
MALFORMED = """target triple = "{triple}"
define i32 @f(i1 %c, i32 %a) {{
entry:
  br i1 %c, label %then, label %after
then:
  %x = add i32 %a, 1
  br label %after
after:
  ret i32 %x
}}
"""


@pytest.mark.parametrize("level", EVERY, ids=lambda level: level.name)
def test_malformed_ir_is_an_exception(level):
    with pytest.raises(RuntimeError, match="does not dominate all uses"):
        codegen.assembly(MALFORMED.format(triple=level.triple), level)
    with pytest.raises(RuntimeError, match="expected"):
        codegen.assembly("define nonsense", level)
    whole = MALFORMED.format(triple=level.triple).replace("%x = add i32 %a, 1", "").replace("ret i32 %x", "ret i32 %a")
    assert codegen.assembly(whole, level)


CALL = """target triple = "{triple}"
%t = type {{ {type} }}
define internal void @g(ptr %p) noinline {{
  store volatile %t zeroinitializer, ptr %p
  ret void
}}
define void @f(ptr %p) {{
  call void @g(ptr %p)
  ret void
}}
"""


@pytest.mark.parametrize("level", EVERY, ids=lambda level: level.name)
def test_code_does_not_depend_on_what_was_compiled_before(level):
    text = CALL.format(triple=level.triple, type="i64")
    first = codegen.assembly(text, level)
    assert codegen.assembly(CALL.format(triple=level.triple, type="i32"), level) != first
    assert codegen.assembly(text, level) == first


def test_an_interrupt_is_heard_while_llvm_works():
    """The work takes as long as nobody has heard."""
    started, heard = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return heard.wait(60)

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    killer = threading.Thread(target=interrupt)
    killer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            assert codegen.apart(work), "nothing was heard for a minute"
        heard.set()
    finally:
        signal.signal(signal.SIGINT, before)
        killer.join()


def test_work_apart_returns_and_raises():
    assert codegen.apart(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        codegen.apart(lambda: 1 // 0)
