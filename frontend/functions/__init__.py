"""The functions of the public namespace, one subject a module; importing this package gives Tensor its methods and operators.

Every module lists in `__all__` what it gives to `ingot`.
"""

from __future__ import annotations

import ingot._tensor
import ingot.functions.arrange
import ingot.functions.binary
import ingot.functions.bits
import ingot.functions.constants
import ingot.functions.creation
import ingot.functions.cumulative
import ingot.functions.einsum
import ingot.functions.extrema
import ingot.functions.factor
import ingot.functions.gamma
import ingot.functions.index
import ingot.functions.integers
import ingot.functions.join
import ingot.functions.matmul
import ingot.functions.norm
import ingot.functions.reduce
import ingot.functions.search
import ingot.functions.select
import ingot.functions.shape
import ingot.functions.sort
import ingot.functions.statistics
import ingot.functions.systems
import ingot.functions.typeinfo
import ingot.functions.unary
from ingot.functions import (
    arrange,
    cumulative,
    exponentials,
    extrema,
    index,
    join,
    matmul,
    methods,
    norm,
    numpy_names,
    operators,
    reduce,
    shape,
    sort,
    statistics,
)

for _module in (arrange, cumulative, exponentials, extrema, index, join, matmul, norm, reduce, shape, sort, statistics):
    numpy_names.install(vars(_module), _module.__all__)
methods.install(ingot._tensor.Tensor)
operators.install(ingot._tensor.Tensor)
