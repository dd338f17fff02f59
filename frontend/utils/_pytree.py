"""Nested containers taken apart into leaves and put together again, by the names of torch.utils._pytree.

A node is a tuple, list, dict, named tuple, OrderedDict, defaultdict or deque, or of a class that was registered; anything else is a leaf.

    leaves, spec = tree_flatten({"a": 1, "b": (2, 3)})
    tree_unflatten(leaves, spec)
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = [
    "GetAttrKey", "LeafSpec", "MappingKey", "PyTree", "SUPPORTED_NODES", "SequenceKey", "TreeSpec", "keystr", "register_pytree_node",
    "tree_all", "tree_any", "tree_flatten", "tree_is_leaf", "tree_flatten_with_path",
    "tree_iter", "tree_leaves", "tree_map", "tree_map_", "tree_map_only", "tree_map_with_path", "tree_structure", "tree_unflatten",
]  # fmt: skip

PyTree = Any
Context = Any


class SequenceKey(NamedTuple):
    """A step of a path: the item of a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The item that it stands for."""
        return sequence[self.idx]


class MappingKey(NamedTuple):
    """A step of a path: the item of a dict."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The item that it stands for."""
        return mapping[self.key]


class GetAttrKey(NamedTuple):
    """A step of a path: an attribute, or the item of a named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The item that it stands for."""
        return getattr(obj, self.name)


def _by_place(items: list[Any], context: Any) -> list[Any]:
    return [SequenceKey(i) for i in range(len(items))]


class _Node(NamedTuple):
    """How a class is taken apart into items and a context, and put together again. keys(items, context): steps of paths to them."""

    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    keys: Callable[[list[Any], Any], list[Any]] = _by_place


def _by_names(items: list[Any], names: Any) -> list[Any]:
    return [MappingKey(k) for k in names]


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    return list(d.values()), list(d)


def _dict_unflatten(items: Iterable[Any], names: list[Any]) -> dict[Any, Any]:
    return dict(zip(names, items))


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[Any, Any]], list[Any]]:
    return [(MappingKey(k), v) for k, v in d.items()], list(d)


def _default_dict(items: Iterable[Any], context: Any) -> Any:
    return defaultdict(context[0], zip(context[1], items))


NODES: dict[Any, _Node] = {
    tuple: _Node(lambda t: (list(t), None), lambda items, _: tuple(items)),
    list: _Node(lambda t: (list(t), None), lambda items, _: list(items)),
    dict: _Node(_dict_flatten, _dict_unflatten, _by_names),
    OrderedDict: _Node(_dict_flatten, lambda items, names: OrderedDict(zip(names, items)), _by_names),
    defaultdict: _Node(
        lambda d: (list(d.values()), [d.default_factory, list(d)]), _default_dict, lambda items, context: _by_names(items, context[1])
    ),
    deque: _Node(lambda d: (list(d), d.maxlen), lambda items, maxlen: deque(items, maxlen=maxlen)),
}  # fmt: skip


def _namedtuple_flatten(t: Any) -> tuple[list[Any], Any]:
    return list(t), type(t)


def _namedtuple_unflatten(items: Iterable[Any], cls: Any) -> Any:
    return cls(*items)


NODES[namedtuple] = _Node(  # all named tuples, whose context is their class
    _namedtuple_flatten, _namedtuple_unflatten, lambda items, cls: [GetAttrKey(name) for name in cls._fields]
)
SUPPORTED_NODES = NODES  # torch's name for it


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any],
    *,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None = None,
    **options: Any,
) -> None:
    """Make a class a node: flatten_fn(x) gives its items and a context, unflatten_fn(items, context) makes it again.

    flatten_with_keys_fn(x), if given, has (key, item) for the items: the steps of paths to them.
    ValueError for a class that is one already.
    """
    if cls in NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if flatten_with_keys_fn is None:
        NODES[cls] = _Node(flatten_fn, unflatten_fn)
        return
    with_keys = flatten_with_keys_fn

    def keys(items: list[Any], context: Any) -> list[Any]:
        return [key for key, _ in with_keys(unflatten_fn(items, context))[0]]

    NODES[cls] = _Node(flatten_fn, unflatten_fn, keys)


_register_pytree_node = register_pytree_node  # torch's older name, which libraries use


@dataclass
class TreeSpec:
    """A tree without its leaves: the class of its node, the context, and the specs of its items."""

    type: Any
    context: Any
    children_specs: list[TreeSpec]
    num_leaves: int = field(init=False)
    num_nodes: int = field(init=False)
    num_children: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_children = len(self.children_specs)
        self.num_nodes = 1 + sum(c.num_nodes for c in self.children_specs)
        self.num_leaves = sum(c.num_leaves for c in self.children_specs)

    def is_leaf(self) -> bool:
        """Whether it is of a leaf."""
        return False

    def child(self, index: int) -> TreeSpec:
        """The spec of an item."""
        return self.children_specs[index]

    def children(self) -> list[TreeSpec]:
        """The specs of all items."""
        return list(self.children_specs)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """See `tree_unflatten`."""
        return tree_unflatten(leaves, self)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The subtrees of `tree` that stand where this spec has leaves. ValueError where it is built otherwise."""
        items, context = _parts(tree)
        if _kind(tree) is not self.type or len(items) != self.num_children or (self.type is not None and context != self.context):
            raise ValueError(f"Node type or arity mismatch; expected {self}, but got {type(tree)}")
        return [x for spec, item in zip(self.children_specs, items) for x in spec.flatten_up_to(item)]


class LeafSpec(TreeSpec):
    """The spec of a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])

    def __post_init__(self) -> None:
        self.num_nodes = self.num_leaves = 1
        self.num_children = 0

    def is_leaf(self) -> bool:
        return True

    def flatten_up_to(self, tree: Any) -> list[Any]:
        return [tree]

    def __repr__(self) -> str:
        return "*"


def _get_node_type(tree: Any) -> Any:
    """The key in NODES of the node that `tree` is; what is none there is a leaf, and gives its class."""
    t = type(tree)
    return namedtuple if t not in NODES and isinstance(tree, tuple) and hasattr(t, "_fields") else t


def _kind(tree: Any) -> Any:
    """The key in NODES of the node that `tree` is; None for a leaf."""
    kind = _get_node_type(tree)
    return kind if kind in NODES else None


def tree_is_leaf(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether `tree` is no node. is_leaf: what else is none.

    >>> ingot.utils._pytree.tree_is_leaf(1), ingot.utils._pytree.tree_is_leaf([1])
    (True, False)
    """
    return _kind(tree) is None or (is_leaf is not None and is_leaf(tree))


def _parts(tree: Any) -> tuple[list[Any], Any]:
    kind = _kind(tree)
    if kind is None:
        return [], None
    items, context = NODES[kind].flatten_fn(tree)
    return list(items), context


def _flatten(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeSpec:
    kind = _kind(tree)
    if kind is None or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LeafSpec()
    items, context = NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_flatten(x, leaves, is_leaf) for x in items])


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree in order, and its spec. is_leaf: what else is not taken apart.

    >>> ingot.utils._pytree.tree_flatten({"a": 1, "b": (2, 3)})[0]
    [1, 2, 3]
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, is_leaf)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of a spec with these leaves. ValueError for another number of them, TypeError for what is no spec.

    >>> leaves, spec = ingot.utils._pytree.tree_flatten([1, (2,)])
    >>> ingot.utils._pytree.tree_unflatten(["a", "b"], spec)
    ['a', ('b',)]
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten(leaves, treespec): `treespec` is a TreeSpec, not {type(treespec)}")
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
            f"{treespec.num_leaves} items ({treespec})."
        )
    it = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        if spec.is_leaf():
            return next(it)
        return NODES[spec.type].unflatten_fn([build(c) for c in spec.children_specs], spec.context)

    return build(treespec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of a tree, in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Iterable[Any]:
    """The leaves of a tree, one after the other."""
    yield from tree_leaves(tree, is_leaf)


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The spec of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The tree of func(leaf, ...), with the leaves of further trees of the same build as further arguments.

    >>> ingot.utils._pytree.tree_map(lambda x, y: x + y, {"a": 1}, {"a": 10})
    {'a': 11}
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return tree_unflatten(list(map(func, leaves, *map(spec.flatten_up_to, rests))), spec)


def tree_map_(func: Callable, tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Call func(leaf, ...) as `tree_map` does; the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    deque(map(func, leaves, *map(spec.flatten_up_to, rests)), maxlen=0)
    return tree


def _only(kinds: Any, func: Callable) -> Callable[[Any], Any]:
    test = kinds if callable(kinds) and not isinstance(kinds, type) else lambda x: isinstance(x, kinds)
    return lambda x: func(x) if test(x) else x


def tree_map_only(type_or_types: Any, func: Callable, tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`tree_map` for leaves of one class, of a tuple of classes, or for which a function is true; others stay as they are."""
    return tree_map(_only(type_or_types, func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether `pred` is true of all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether `pred` is true of any leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_flatten_with_path(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[tuple[Any, Any]], TreeSpec]:
    """(path, leaf) of each leaf, and the spec. A path is a tuple of SequenceKey, MappingKey and GetAttrKey."""
    found: list[tuple[Any, Any]] = []

    def walk(path: tuple[Any, ...], x: Any) -> TreeSpec:
        kind = _kind(x)
        if kind is None or (is_leaf is not None and is_leaf(x)):
            found.append((path, x))
            return LeafSpec()
        items, context = _parts(x)
        names = NODES[kind].keys(items, context)
        return TreeSpec(kind, context, [walk((*path, name), item) for name, item in zip(names, items)])

    spec = walk((), tree)
    return found, spec


def tree_map_with_path(func: Callable, tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`tree_map` of a function whose first argument is the leaf's path."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = map(spec.flatten_up_to, rests)
    return tree_unflatten([func(path, x, *more) for (path, x), *more in zip(pairs, *others)], spec)


def keystr(path: Iterable[Any]) -> str:
    """A path as text.

    >>> [ingot.utils._pytree.keystr(path) for path, _ in ingot.utils._pytree.tree_flatten_with_path({"a": [1, 2]})[0]]
    ["['a'][0]", "['a'][1]"]
    """
    return "".join(map(str, path))
