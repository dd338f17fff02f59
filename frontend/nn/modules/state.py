"""state_dict and load_state_dict: torch's keys, strictness and messages. Loading is all or nothing."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ingot._tensor import Tensor
from ingot.grad_mode import no_grad
from ingot.nn.modules.hooks import RemovableHandle
from ingot.nn.parameter import Parameter, is_lazy

__all__ = ["Hooks", "Stateful", "_IncompatibleKeys"]

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class Hooks:
    """The four tables of a module's state hooks."""

    def __init__(self) -> None:
        self.save_pre: dict[int, Any] = {}
        self.save_post: dict[int, Any] = {}
        self.replacing: list[Any] = []  # those of save_post whose result takes the place of the state
        self.load_pre: dict[int, Any] = {}
        self.load_post: dict[int, Any] = {}


class _WithoutModule(NamedTuple):
    """A loading hook that is not given the module. A class, so that modules which have one can be pickled."""

    hook: Callable

    def __call__(self, module: Any, *args: Any) -> Any:
        return self.hook(*args)


class _IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found missing and unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _persistent(module: Any) -> dict[str, Any]:
    skip = module._non_persistent_buffers_set
    return {**module._parameters, **{n: b for n, b in module._buffers.items() if n not in skip}}


def _has_extra(module: Any, method: str = "get_extra_state") -> bool:
    return getattr(type(module), method) is not getattr(Stateful, method)


def _save_own(module: Any, destination: dict, prefix: str, keep_vars: bool) -> None:
    """Write the module's own tensors, not its children's, to `destination`."""
    for name, value in _persistent(module).items():
        if value is not None:
            destination[prefix + name] = value if keep_vars else value.detach()
    if _has_extra(module):
        destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = module.get_extra_state()


def _collect(module: Any, destination: Any, prefix: str, keep_vars: bool) -> OrderedDict:
    out = destination
    if out is None:
        out = OrderedDict()
        out._metadata = OrderedDict()  # type: ignore[attr-defined]  # by module: the version of its entries, which loading passes to it
    local = {"version": module._version}
    if hasattr(out, "_metadata"):
        out._metadata[prefix[:-1]] = local
    hooks = module._state_hooks
    for hook in list(hooks.save_pre.values()):
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(out, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=out, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in list(hooks.save_post.values()):
        replaced = hook(module, out, prefix, local)
        if replaced is not None and hook in hooks.replacing:
            out = replaced
    return out


def _load_own(
    module: Any, state_dict: Mapping, prefix: str, meta: dict, strict: bool, missing: list[str], unexpected: list[str], errors: list[str]
) -> None:
    """Check the module's own entries of `state_dict`; the copies are noted in `meta["pending"]` and made when all is well.

    Where `meta` has no such list, this module is loaded by itself, and at once.
    """
    for hook in list(module._state_hooks.load_pre.values()):
        hook(module, state_dict, prefix, meta, strict, missing, unexpected, errors)
    local = _persistent(module)
    assign, alone = meta.get("assign_to_params_buffers", False), "pending" not in meta  # alone: other code loads module by module
    pending: list[tuple] = meta.get("pending", [])
    for name, target in local.items():
        if target is None:
            continue
        key = prefix + name
        if key not in state_dict:
            if strict:
                missing.append(key)
            continue
        value = state_dict[key]
        if not isinstance(value, Tensor):
            errors.append(f'While copying the parameter named "{key}", expected an ingot.Tensor from checkpoint but received {type(value)}')
        elif not is_lazy(target) and tuple(value.shape) != tuple(target.shape):
            errors.append(
                f"size mismatch for {key}: copying a param with shape {list(value.shape)} from checkpoint, "
                f"the shape in current model is {list(target.shape)}."
            )
        elif value.is_meta and not target.is_meta and not assign:
            errors.append(f'While copying the parameter named "{key}", an exception occurred: Cannot copy out of meta tensor; no data!')
        else:
            if target.is_meta and not value.is_meta and not assign:
                warnings.warn(
                    f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current model, which is a "
                    "no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary to their corresponding key in the "
                    "module instead of copying them in place?)",
                    stacklevel=4,
                )
            pending.append((module, name, target, value))
    key = prefix + _EXTRA_STATE_KEY_SUFFIX
    if _has_extra(module, "set_extra_state"):
        if key in state_dict:
            pending.append((module, _EXTRA_STATE_KEY_SUFFIX, None, state_dict[key]))
        elif strict:
            missing.append(key)
    elif strict and key in state_dict:
        unexpected.append(key)
    if strict:
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + _EXTRA_STATE_KEY_SUFFIX:
                head, _, rest = key[len(prefix) :].partition(".")
                if head not in (module._modules if rest else local):
                    unexpected.append(key)
    if alone:
        _commit(pending, assign)


def _load(module: Any, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> _IncompatibleKeys:
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    pending: list[tuple] = []
    table = dict(state_dict)
    versions = getattr(state_dict, "_metadata", None) or {}

    def walk(m: Any, part: Mapping, prefix: str) -> None:
        meta = {**versions.get(prefix[:-1], {}), "assign_to_params_buffers": assign, "pending": pending}
        m._load_from_state_dict(part, prefix, meta, True, missing, unexpected, errors)
        for name, child in m._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                walk(child, {k: v for k, v in part.items() if k.startswith(below)}, below)
        keys = _IncompatibleKeys(missing, unexpected)
        for hook in list(m._state_hooks.load_post.values()):
            hook(m, keys)

    walk(module, table, "")
    if strict:
        if unexpected:
            errors.insert(0, "Unexpected key(s) in state_dict: {}. ".format(", ".join(f'"{k}"' for k in unexpected)))
        if missing:
            errors.insert(0, "Missing key(s) in state_dict: {}. ".format(", ".join(f'"{k}"' for k in missing)))
    if errors:
        raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(type(module).__name__, "\n\t".join(errors)))
    _commit(pending, assign)
    return _IncompatibleKeys(missing, unexpected)


def _commit(pending: list[tuple], assign: bool) -> None:
    with no_grad():
        for module, name, target, value in pending:
            if name == _EXTRA_STATE_KEY_SUFFIX:
                module.set_extra_state(value)
            elif not assign:
                target.copy_(value)
            elif isinstance(target, Parameter):
                keep = value if isinstance(value, Parameter) else Parameter(value, requires_grad=target.requires_grad)
                setattr(module, name, keep)
            else:
                setattr(module, name, value)


class Stateful:
    """The part of Module that saves and loads its state."""

    _state_hooks: Hooks
    _version = 1  # of the entries in state_dict; a class that changes their names or meaning says 2, and sees what comes when loading

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before this module's part of `state_dict()` is made."""
        return RemovableHandle(self._state_hooks.save_pre, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after this module's part of `state_dict()` is made."""
        return RemovableHandle(self._state_hooks.save_post, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading."""
        return RemovableHandle(self._state_hooks.load_pre, hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit the two lists."""
        return RemovableHandle(self._state_hooks.load_post, hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As `register_state_dict_post_hook`, and what the hook gives, unless None, takes the place of the state."""
        self._state_hooks.replacing.append(hook)
        return RemovableHandle(self._state_hooks.save_post, hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        """As `register_load_state_dict_pre_hook`; without `with_module` the hook is not given the module."""
        return RemovableHandle(self._state_hooks.load_pre, hook if with_module else _WithoutModule(hook))

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Any]:
        """Parameters and persistent buffers by dotted name, detached but not copied: what `ingot.save` takes.

        >>> [(name, t.shape) for name, t in nn.Linear(4, 2).state_dict().items()]
        [('weight', ingot.Size([2, 4])), ('bias', ingot.Size([2]))]
        """
        return _collect(self, destination, prefix, keep_vars)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy (or with `assign` bind) the tensors of `state_dict` into this module.

        With `strict`, missing or unexpected keys raise RuntimeError; so do wrong shapes in any case. Nothing is
        changed then: either all tensors are loaded or none.

        >>> a, b = nn.Linear(4, 2), nn.Linear(4, 2)
        >>> b.load_state_dict(a.state_dict())
        <All keys matched successfully>
        >>> ingot.equal(a.weight, b.weight)
        True
        """
        return _load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        _save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool, missing_keys: list, unexpected_keys: list, error_msgs: list
    ) -> None:
        _load_own(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def get_extra_state(self) -> Any:
        """Extra state for `state_dict()`; a subclass that defines this defines `set_extra_state` too."""
        raise RuntimeError(f"{type(self).__name__} defines no get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} defines no set_extra_state")
