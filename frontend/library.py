"""`ingot.library`: operators of one's own by a name, as torch.library has them.

    @ingot.library.custom_op("mine::scaled", mutates_args=())
    def scaled(x: ingot.Tensor, factor: float) -> ingot.Tensor:
        return x * factor

    ingot.ops.mine.scaled(x, 2.0)

An operator is a Python function. Under compile it is traced as any other, so what it computes outside of Ingot is refused there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.autograd.function import Function
from ingot.ops import Operator, declare, operator

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "get_ctx", "impl", "impl_abstract", "infer_schema", "opcheck", "register_autocast",
    "register_autograd", "register_fake", "register_kernel", "register_torch_dispatch", "register_vmap", "triton_op", "wrap_triton",
]  # fmt: skip

_KERNELS = ("", "CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "cpu", "default")  # keys of what runs on the CPU


class CustomOpDef:
    """An operator that `custom_op` made: called as its function, and found as `ingot.ops.<namespace>.<name>`."""

    def __init__(self, op: Operator, fn: Callable):
        self._op = op
        self._init_fn = fn
        functools.update_wrapper(self, fn)

    @property
    def _qualname(self) -> str:
        return self._op.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._op(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._op.name})>"

    def register_kernel(self, device_types: Any, func: Callable | None = None) -> Any:
        """A decorator for the function that computes the operator on a device: that for "cpu" takes the place of the first."""

        def register(fn: Callable) -> Callable:
            if device_types is None or "cpu" in ([device_types] if isinstance(device_types, str) else device_types):
                self._op.kernel = fn
            return fn

        return register if func is None else register(func)

    def register_fake(self, fn: Callable) -> Callable:
        """`fn`, which says what results are like: shapes follow from the operator itself here."""
        return fn

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """Give the operator a gradient: backward(ctx, *grads); setup_context(ctx, inputs, output) keeps what it needs."""
        self._op.differentiate(_differentiated(self._op, backward, setup_context))

    def register_vmap(self, func: Callable | None = None) -> Any:
        """`func`: the operations of the operator have batching rules."""
        return (lambda fn: fn) if func is None else func

    def register_torch_dispatch(self, torch_dispatch_class: Any, fn: Callable | None = None, /) -> Any:
        """`fn`, without effect: tensors have no subclasses that dispatch."""
        return (lambda f: f) if fn is None else fn

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """Nothing: autocast casts the operations that the operator is made of."""

    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Any:
        """A block without effect."""
        import contextlib

        return contextlib.nullcontext()


def _differentiated(op: Operator, backward: Callable, setup_context: Callable | None) -> Callable:
    class Differentiated(Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            output = op.kernel(*args)  # type: ignore[misc]
            if setup_context is not None:
                if "keyword_only_inputs" in inspect.signature(setup_context).parameters:
                    setup_context(ctx=ctx, inputs=args, keyword_only_inputs={}, output=output)
                else:
                    setup_context(ctx, args, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return backward(ctx, *grads)

    Differentiated.__name__ = op.name

    def call(*args: Any, **kwargs: Any) -> Any:
        return Differentiated.apply(*op.bound(args, kwargs))

    return call


def custom_op(
    name: str,
    fn: Callable | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: Any = None,
    schema: str | None = None,
    tags: Sequence[Any] | None = None,
) -> Any:
    """A decorator that makes a function the operator `name`, "namespace::name". ValueError for a name without a namespace.

    mutates_args: the names of the arguments that it writes to, for readers.
    """

    def make(fn: Callable) -> CustomOpDef:
        op = declare(name)
        op.kernel = fn
        return CustomOpDef(op, fn)

    return make if fn is None else make(fn)


triton_op = custom_op


def wrap_triton(triton_kernel: Any, /) -> Any:
    """The kernel itself."""
    return triton_kernel


class Library:
    """The operators of a namespace: `define` declares one, `impl` gives the function that computes it.

    >>> mine = ingot.library.Library("mine", "DEF")
    >>> mine.define("twice(Tensor x) -> Tensor")
    'twice'
    >>> mine.impl("twice", lambda x: x * 2, "CPU")
    >>> ingot.ops.mine.twice(ingot.ones(1))
    tensor([2.])
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Declare an operator: "name(Tensor x, int n) -> Tensor". Its name."""
        name = schema.partition("(")[0].strip()
        declare(f"{self.ns}::{name}").schema = schema
        return name

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False, **options: Any) -> None:
        """Have `fn` compute an operator, where the key is the CPU's; what it does for other keys is never asked for."""
        if (dispatch_key or self.dispatch_key) in _KERNELS:
            name = op_name if isinstance(op_name, str) else op_name.name.partition("::")[2]
            declare(name if "::" in name else f"{self.ns}::{name}").kernel = fn

    def _register_fake(self, op_name: str, fn: Callable, **options: Any) -> None:
        """Nothing: shapes follow from the operator itself."""

    def _destroy(self) -> None:
        """Nothing."""

    def fallback(self, fn: Callable, dispatch_key: str = "", **options: Any) -> None:
        """Nothing: there is no dispatch by keys."""


def _named(op: Any) -> Operator:
    """An operator by its name, or itself."""
    if isinstance(op, CustomOpDef):
        return op._op
    return op if isinstance(op, Operator) else operator(str(op))


def define(qualname: str, schema: Any = None, *, lib: Any = None, tags: Any = (), **options: Any) -> Any:
    """Declare the operator `qualname`, "namespace::name"; without a schema, a decorator for the function that computes it."""
    op = declare(qualname)
    op.schema = None if schema is None else str(schema)
    if schema is None:

        def make(fn: Callable) -> Callable:
            op.kernel = fn
            return fn

        return make
    return None


def impl(qualname: str, types: Any, func: Callable | None = None, *, lib: Any = None) -> Any:
    """Have a function compute an operator on a device; without `func`, a decorator."""

    def register(fn: Callable) -> Callable:
        if any(t in _KERNELS for t in ([types] if isinstance(types, str) else types)):
            declare(qualname).kernel = fn
        return fn

    return register if func is None else register(func)


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """`CustomOpDef.register_kernel` of an operator, or of the name of one."""
    found = _named(op)
    return CustomOpDef(found, found.kernel or (lambda *args: None)).register_kernel(device_types, func)


def register_fake(op: Any, func: Callable | None = None, /, *, lib: Any = None, _stacklevel: int = 1, **options: Any) -> Any:
    """`func`, or a decorator that gives it back: shapes follow from the operator itself."""
    return (lambda fn: fn) if func is None else func


impl_abstract = register_fake


def register_autograd(op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None) -> None:
    """`CustomOpDef.register_autograd` of an operator, or of the name of one."""
    found = _named(op)
    found.differentiate(_differentiated(found, backward, setup_context))


def register_vmap(op: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """`func`, or a decorator that gives it back: the operations of the operator have batching rules."""
    return (lambda fn: fn) if func is None else func


def register_torch_dispatch(op: Any, torch_dispatch_class: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """`func`, without effect: tensors have no subclasses that dispatch."""
    return (lambda fn: fn) if func is None else func


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """Nothing: autocast casts the operations that the operator is made of."""


def get_ctx() -> Any:
    """RuntimeError: there are no fake tensors, whose context this would be."""
    raise RuntimeError("library.get_ctx: no operator is called with fake tensors here, so there is no context of one")


_SCHEMA = {Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", "Tensor": "Tensor"}


def infer_schema(prototype_function: Callable, /, *, mutates_args: Any = (), op_name: str | None = None) -> str:
    """The schema of a function by its annotations.

    >>> def scaled(x: ingot.Tensor, factor: float) -> ingot.Tensor: ...
    >>> ingot.library.infer_schema(scaled)
    '(Tensor x, float factor) -> Tensor'
    """
    signature = inspect.signature(prototype_function, eval_str=True)

    def text(kind: Any) -> str:
        if kind not in _SCHEMA:
            raise ValueError(f"infer_schema: no schema for the annotation {kind!r}")
        return _SCHEMA[kind]

    parts = [f"{text(p.annotation)} {p.name}" + ("" if p.default is p.empty else f"={p.default}") for p in signature.parameters.values()]
    result = "()" if signature.return_annotation in (None, signature.empty) else text(signature.return_annotation)
    return f"{op_name or ''}({', '.join(parts)}) -> {result}"


def opcheck(op: Any, args: tuple, kwargs: dict[str, Any] | None = None, **options: Any) -> dict[str, str]:
    """Call an operator eagerly and compiled, and compare. {"test_aot_dispatch_dynamic": "SUCCESS"}, or an AssertionError."""
    import ingot

    found = _named(op)
    eager = found(*args, **(kwargs or {}))
    ingot.testing.assert_close(ingot.compile(lambda *a: found(*a, **(kwargs or {})))(*args), eager)
    return {"test_aot_dispatch_dynamic": "SUCCESS"}
