"""Names that can be imported and say in one sentence, when they are used, why nothing stands behind them.

`docs/compat.md` lists them by the sentence (_compat.py finds it in `refused`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["refused", "refused_class"]


def refused(path: str, reason: str) -> Callable[..., NoReturn]:
    """The function at `path` ("cuda.init"): a RuntimeError with the reason."""

    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"{path}: {reason}")

    function.__name__ = function.__qualname__ = path.rpartition(".")[2]
    function.__doc__ = f"RuntimeError: {reason}."
    function.refused = reason  # type: ignore[attr-defined]
    return function


def refused_class(path: str, reason: str) -> Any:
    """The class at `path`, which has no instances: a RuntimeError with the reason."""

    def __new__(cls: type, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"{path}: {reason}")

    module, _, name = path.rpartition(".")
    body = {"__new__": __new__, "__doc__": f"RuntimeError: {reason}.", "__module__": f"ingot.{module}".rstrip("."), "refused": reason}
    return type(name, (), body)
