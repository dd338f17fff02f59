"""What stands between LLVM IR text and the code generator, which ends the process where it meets malformed IR."""

import functools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingot.backends import NAMES, backend
from ingot.backends.llvm import codegen
from ingot.backends.llvm.workers import side_by_side

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
            assert side_by_side([work]), "nothing was heard for a minute"
        heard.set()
    finally:
        signal.signal(signal.SIGINT, before)
        killer.join()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("main", [True, False])
def test_work_side_by_side_returns_and_raises(main, workers):
    def check():
        assert side_by_side([functools.partial(pow, i, 2) for i in range(20)], workers) == [i * i for i in range(20)]
        with pytest.raises(ZeroDivisionError):
            side_by_side([lambda: 1, lambda: 1 // 0, lambda: 2], workers)
        return True

    with ThreadPoolExecutor(1) as other:
        assert check() if main else other.submit(check).result()


def test_threads_emit_what_one_emits():
    level = backend("cpu").levels["x86-64-v3"]
    texts = [CALL.format(triple=level.triple, type=f"[{n} x i8]") for n in range(1, 41)]
    made = side_by_side([functools.partial(codegen.object_code, t, level) for t in texts], 4)
    assert made == [codegen.object_code(t, level) for t in texts]
