"""Which Ingot this is, and what it was made for."""

from __future__ import annotations

from ingot import _VERSION
from ingot.torch_version import NAMES_OF, TorchVersion

__all__ = ["__version__", "cuda", "debug", "hip"]  # noqa: F822  (__getattr__ has the first)

cuda: str | None = None  # the CUDA that it was made with: none
hip: str | None = None
debug = False


def of_torch() -> TorchVersion:
    """What `ingot.__version__` says where Ingot is imported as torch: "2.13.0+ingot.0.1.0"."""
    return TorchVersion(f"{NAMES_OF}+ingot.{_VERSION}")


def __getattr__(name: str) -> str:
    import ingot

    if name == "__version__":
        return ingot.__version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
