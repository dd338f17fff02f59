"""`ingot.func`: functions of functions, which compose in any order, inside compiled functions and around them.

`grad`, `grad_and_value` and `vjp` run the tape backwards (reverse.py); `jvp` carries tangents along (forward.py); `vmap` runs a function on
batches (batching.py), and so `jacrev`, `jacfwd` and `hessian` have all rows or columns at once (jacobians.py); `functional_call` and
`stack_module_state` make Modules functions of their parameters (calling.py). levels.py says how they compose. `rearrange` puts dims in
another order by a pattern (rearranging.py).
"""

from ingot.func.batching import vmap
from ingot.func.calling import functional_call, stack_module_state
from ingot.func.forward import jvp, linearize
from ingot.func.jacobians import hessian, jacfwd, jacrev
from ingot.func.normalisation import replace_all_batch_norm_modules_
from ingot.func.rearranging import rearrange
from ingot.func.reverse import grad, grad_and_value, vjp
from ingot.func.unwrapping import debug_unwrap, functionalize

__all__ = [
    "debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "rearrange", "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap",
]  # fmt: skip
