"""Modules as functions of their parameters, and many of them as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ingot._tensor import Tensor
from ingot.runtime import epoch

__all__ = ["functional_call", "stack_module_state"]


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call `module` with the given tensors in place of its parameters and buffers; those not given stay. Differentiable in them.

    With `tie_weights`, a tensor given for one name of a shared parameter stands for all of them; with `strict`, every name must be
    given and known, else RuntimeError. AttributeError for a path through modules that are not there.

    >>> model = nn.Linear(3, 2)
    >>> other = {"weight": ingot.ones(2, 3), "bias": ingot.zeros(2)}
    >>> ingot.func.functional_call(model, other, ingot.ones(1, 3))
    tensor([[3., 3.]])
    """
    dicts = [parameter_and_buffer_dicts] if isinstance(parameter_and_buffer_dicts, Mapping) else list(parameter_and_buffer_dicts)
    given: dict[str, Tensor] = {}
    for d in dicts:
        twice = sorted(given.keys() & d.keys())
        if twice:
            raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        given.update(d)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))


@contextmanager
def _swapped(module: Any, given: Mapping[str, Tensor], tie_weights: bool, strict: bool) -> Iterator[None]:
    """A block in which the tables of `module` hold the given tensors."""
    places: dict[str, tuple[dict, str]] = {}
    for path, m in module.named_modules(remove_duplicate=False):
        for table in (m._parameters, m._buffers):
            for name, t in table.items():
                if t is not None:
                    places[f"{path}.{name}" if path else name] = (table, name)
    for name, t in given.items():
        if not isinstance(t, Tensor):
            raise TypeError(f"functional_call: {name} is a {type(t).__name__}, not a Tensor")
        if name not in places and not strict:
            module.get_submodule(name.rpartition(".")[0])  # a wrong path is an error, a name that nobody reads is none
    _check_tied(places, given, tie_weights)
    if strict:
        unexpected = [n for n in given if n not in places]
        known = {id(places[n][0][places[n][1]]) for n in given if n in places} if tie_weights else set()
        missing = [n for n, (table, k) in places.items() if n not in given and id(table[k]) not in known]
        if unexpected or missing:
            lines = [f"Unexpected key(s): {unexpected}."] if unexpected else []
            lines += [f"Missing key(s): {missing}."] if missing else []
            raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t" + "\n\t".join(lines))
    new = {id(places[n][0][places[n][1]]): t for n, t in given.items() if n in places} if tie_weights else {}
    before = []
    try:
        for name, (table, key) in places.items():
            t = given.get(name, new.get(id(table[key])))
            if t is not None:
                before.append((table, key, table[key]))
        for name, (table, key) in places.items():
            t = given.get(name, new.get(id(table[key])))
            if t is not None:
                table[key] = t
        epoch.bump()  # a compiled module looks again
        yield
    finally:
        for table, key, old in before:
            table[key] = old
        epoch.bump()


def _check_tied(places: Mapping[str, tuple[dict, str]], given: Mapping[str, Tensor], tie_weights: bool) -> None:
    seen: dict[int, str] = {}
    for name, t in given.items():
        if not tie_weights or name not in places:
            continue
        table, key = places[name]
        other = seen.setdefault(id(table[key]), name)
        if given[other] is not t:
            raise ValueError(f"functional_call got different values for the tied {sorted((other, name))}")


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters of like Modules, stacked along a new first dim, and their buffers: for `vmap` over an ensemble.

    The stacked parameters require gradients where the Modules' do. RuntimeError for no Modules, Modules of different classes, or in
    different modes.

    >>> models = [nn.Linear(3, 2) for _ in range(4)]
    >>> params, buffers = ingot.func.stack_module_state(models)
    >>> params["weight"].shape
    ingot.Size([4, 2, 3])
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(tables: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: _stack([t[name] for t in tables]) for name in tables[0]}

    return stacked([dict(m.named_parameters()) for m in models]), stacked([dict(m.named_buffers()) for m in models])


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    import ingot

    out: Tensor = ingot.stack([t.detach() for t in tensors])
    return out.requires_grad_() if all(t.requires_grad for t in tensors) else out
