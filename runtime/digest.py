"""SHA-256, and that of long memory by blocks, which threads take in turn.

`hashlib` makes every digest that there is when it is imported, this module the one.
"""

from __future__ import annotations

try:
    from _hashlib import openssl_sha256 as sha256
except ImportError:  # a Python without OpenSSL
    from hashlib import sha256

__all__ = ["BLOCK", "blocks", "sha256"]

BLOCK = 4 << 20  # bytes


def blocks(data: memoryview, nthreads: int = 1) -> list[bytes]:
    """The SHA-256 of each BLOCK bytes of some memory, the last of fewer. Up to `nthreads` threads calculate them.

    >>> [d.hex()[:8] for d in blocks(memoryview(bytes(BLOCK + 1)))]
    ['bb9f8df6', '6e340b9c']
    """
    memory = memoryview(data).cast("B")
    n = -(-len(memory) // BLOCK)
    found: list[bytes] = [b""] * n
    rest = iter(range(n))

    def some() -> None:
        for i in rest:
            found[i] = sha256(memory[i * BLOCK : (i + 1) * BLOCK]).digest()

    helpers = []
    if nthreads > 1 and n > 1:
        import threading

        try:
            for _ in range(min(nthreads, n) - 1):
                helper = threading.Thread(target=some)
                helper.start()
                helpers.append(helper)
        except RuntimeError:  # the system has no more threads: those that there are do it
            pass
    some()
    for helper in helpers:
        helper.join()
    return found
