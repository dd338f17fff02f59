"""Run a function in a child: with an alarm, so that a hang is a failure, and if need be as a root whom file modes bind."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

_READ_ANYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_VERSION_3 = 0x20080522


def in_child(work: Callable[[], Any], seconds: int = 60, bound: bool = False) -> Any:
    """What `work()` returns in a forked child. AssertionError with its traceback where it raises, dies or hangs."""
    r, w = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a fork leaves behind
        pid = os.fork()
    if not pid:
        _work(work, seconds, bound, w)
    os.close(w)
    with open(r, "rb") as f:
        told = f.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        raise AssertionError(f"no end after {seconds} seconds")
    if code or not told:
        raise AssertionError(f"the child ended with {code}")
    fine, value = pickle.loads(told)
    assert fine, value
    return value


def _work(work: Callable[[], Any], seconds: int, bound: bool, w: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        if bound and os.geteuid() == 0:
            _give_up_reading_anything()
        try:
            told = True, work()
        except BaseException:
            told = False, traceback.format_exc()
        with open(w, "wb") as f:
            f.write(pickle.dumps(told))
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def _give_up_reading_anything() -> None:
    """Without these capabilities the modes of files hold for root, too."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(head, sets):
        raise OSError(ctypes.get_errno(), "capget")
    sets[0] &= ~_READ_ANYTHING  # of the effective set
    if libc.capset(head, sets):
        raise OSError(ctypes.get_errno(), "capset")
