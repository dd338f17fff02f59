"""The base class that has Tensor's methods and operators until they are first looked up; `methods.pyi` spells them out for type checkers.

They are functions of `ingot.functions`, whose modules are imported when one of them is needed: see `ingot.functions.methods`.
"""

from __future__ import annotations

from ingot._names import METHODS
from ingot._tensor.table import Later

__all__ = ["TensorMethods"]


class TensorMethods:
    """Functions as methods, operators, indexing and printing: see `ingot.functions.methods`."""

    __slots__ = ()
    is_nested = is_sparse_csr = volatile = False
    is_ipu = is_maia = is_mps = is_mtia = is_xla = is_xpu = False
    name = None
    locals().update({name: Later(name, home) for home, names in METHODS.items() for name in names.split()})

