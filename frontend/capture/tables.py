"""What a traced function assigns beside tensors: attributes, entries of dicts, items of lists, globals and variables of closures.

While a function is traced they hold what it has assigned, so that it reads its own. Afterwards tensors are taken out again; everything is
put back where the function is to run once more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent, plain_dim
from ingot._tensor.reals import Real
from ingot.capture.added import Additions
from ingot.capture.describe import ADDED_TO, ALL, HELD, PLAIN, held_in
from ingot.capture.errors import CaptureError, LeakedTensorError
from ingot.capture.exchanged import Assigned, Exchanges, PlaceHolds, PlaceIs, held_parts, original, tensors_in
from ingot.capture.inline import ItemIs, TableIs
from ingot.capture.leftovers import KeysAre, Once, Surroundings, changed, is_constant, reordered, where_stood
from ingot.capture.places import Elsewhere, ExtentAt, InCell, InClass, InList, InTable, Within, table_of
from ingot.capture.pytree import LEAF, flatten
from ingot.capture.reads import vars_of
from ingot.capture.recipes import Built
from ingot.capture.restoring import copied, is_same_content, put_back, put_content, put_entry, restore
from ingot.capture.roots import Roots
from ingot.capture.shapes import Shapes, valued
from ingot.capture.slots import OfClass, Slots
from ingot.capture.standing import Standing
from ingot.capture.trace import Trace, leaf_of, run_traced
from ingot.capture.watch import MISSING, TABLES, InlineWatch, Watch, content, entry
from ingot.capture.writes import ListAdd, ListWrite, NewState, PlaceWrite, PlainWrite, Write
from ingot.runtime.epoch import bump

if TYPE_CHECKING:
    from ingot.capture.assembly import Assembly
    from ingot.capture.guards import Guards
    from ingot.capture.traced import Traced

__all__ = ["Tables"]


class Tables:
    """The tables that a function can reach, as they are before it is traced.

    asked: places whose tensors were others in other calls
    """

    def __init__(self, roots: Roots, asked: Sequence[Elsewhere] = ()):
        owned = [(table, m) for m in roots.modules for table in (vars(m), m._buffers, m._parameters, m._modules)]
        owned += [(table, o) for o, table in roots.objects] + [(d, d) for d in roots.dicts]
        owned += [(vars(t), t) for t in {id(t): t for t in roots.tensors}.values()]
        owned += [(state, state) for o in roots.optimizers for state in o.state.values()]
        self._before = [(table, dict(table), owner) for table, owner in owned]
        self._own = [(owner, table) for table, owner in owned if vars_of(owner) is table]
        self._optimizers = [(o, set(o.state)) for o in roots.optimizers]
        self._others = [(x, copied(x)) for x in (*map(vars, roots.optimizers), *roots.containers)]
        self._lists = [(x, before) for x, before in self._others if isinstance(x, (list, deque))]
        self._known = {id(x) for x, _ in self._lists} | {id(d) for d in roots.dicts}
        self._names = [(space, name, space.get(name, MISSING)) for space, name in {(id(s), n): (s, n) for s, n, _ in roots.names}.values()]
        self._cells = [(cell, name, content(cell)) for cell, name in {id(c): (c, n) for c, n in roots.cells}.values()]
        self._surroundings = Surroundings(roots.functions)
        self._tensors = roots.tensors
        self.standing = Standing(roots, self._before, self._lists, self._names, self._cells)
        self._asked = [self.standing.outermost(p) for p in asked if self.standing.reachable(p)]
        self._additions = Additions()
        self._mixed = False  # whether what runs at once has changed what the function had changed before
        self.shared: Counter[int] = Counter()  # by the ids of Storages, how many tensors that calls make share each
        self._held: list[tuple[Elsewhere, Any, Any]] = []  # places of what is other at each call: what they held, and hold meanwhile
        self._moved: list[tuple[Elsewhere, Any]] = []  # places where calls put what stood in others of them, and what they held

    # ---- before the function runs

    def hold(self, shapes: Shapes | None, trace: Trace, leaves: Sequence[Any]) -> None:
        """Have the places outside that hold run-time numbers, or tensors of run-time sizes, hold what remembers, until `put_back`."""
        self._additions.hold(self.standing)
        extents = trace.extents
        if shapes is None or extents is None:
            return
        tensors: dict[Any, tuple[Elsewhere, dict[int, Any]]] = {}
        parts: dict[Any, tuple[Elsewhere, dict[tuple, Any]]] = {}
        for p, dim in shapes.dims.items():
            if isinstance(p, ExtentAt):
                tensors.setdefault(p.place.key, (p.place, {}))[1][p.dim] = dim
            elif isinstance(p, Elsewhere) and type(number := shapes.given(p, extents)) in (Extent, Real):
                root, path = self.standing.root_of(p)
                parts.setdefault(root.key, (root, {}))[1][path] = number
        for place, dims in tensors.values():
            t = place.read()
            if not any(not isinstance(d, int) for d in dims.values()):
                continue
            s = t._make_storage()
            if t._steps or vars(t) or leaf_of(t) is not None or sum(x._storage is s for x in self._tensors) != 1 or _among(s, leaves):
                for d in dims.values():
                    extents.pin(d, f"{place.text} is not the only one to hold its tensor, or holds a view")
            trace.shaped[s] = tuple([dims.get(i, n) for i, n in enumerate(t._array.type.shape)])
            root, path = self.standing.root_of(place)
            given = parts.setdefault(root.key, (root, {}))[1][path] = trace.stand_in(t)
            HELD[id(given)] = t
        for root, stand_ins in parts.values():
            self._hold(root, held_parts(root.read(), stand_ins))

    def _hold(self, place: Elsewhere, given: Any) -> None:
        old = place.read()
        self._held.append((place, old, given))
        if not isinstance(given, (Extent, Real)):
            HELD[id(given)] = old
        place.put(given)

    def aside(self) -> Callable[[], None]:
        """Something begins to run at once in the midst of the trace. Call what this gives when it has ended: what it has changed counts as
        if it had been so before."""
        tables = [(table, before, dict(table)) for table, before, _ in self._before]
        others = [(x, before, copied(x)) for x, before in self._others]
        names = [space.get(name, MISSING) for space, name, _ in self._names]
        cells = [content(cell) for cell, _, _ in self._cells]

        def ended() -> None:
            for table, before, then in tables:
                for k in [k for k in {**then, **table} if entry(table, k) is not then.get(k, MISSING)]:
                    if k in table:
                        before[k] = entry(table, k)
                    else:
                        before.pop(k, None)
            for x, before, then in others:
                if not is_same_content(then, copied(x)):
                    self._mixed = self._mixed or not is_same_content(before, then)
                    restore(before, copied(x))
            for i, ((space, name, _), then) in enumerate(zip(list(self._names), names)):
                if space.get(name, MISSING) is not then:
                    self._names[i] = space, name, space.get(name, MISSING)
            for i, ((cell, name, _), then) in enumerate(zip(list(self._cells), cells)):
                if content(cell) is not then:
                    self._cells[i] = cell, name, content(cell)

        return ended

    # ---- when it has run

    def check(self, trace: Trace, name: str, seen: Callable[[Any], bool]) -> None:
        """Trace again where lists that the function has `seen` have grown, and with the numbers of those places that it assigns, and that
        calls do not. CaptureError, with the `name` of the function, where it has given an object another `__dict__`.
        """
        if self._mixed:
            raise CaptureError(
                f"{name}: a compiled function, and one whose results functools keeps, which runs once, both change a list, dict or array: "
                "change it in one of them"
            )
        self._additions.release(self._known)
        for x, was, now in self._changed_lists(trace):
            self._additions.see(x, was, now, seen(x))
        for owner, table in self._own:
            if vars_of(owner) is not table:
                raise CaptureError(
                    f"{name}: a compiled function cannot assign the __dict__ of a {type(owner).__name__}: calls would write to the one "
                    "that it had; assign the attributes, or update what vars() gives"
                )
        run_traced(trace, lambda: self._capture_moved(trace))
        owned = {id(table) for table, _, _ in self._before} | {id(space) for space, _, _ in self._names}
        for p, _, given in self._held:
            now = p.read()
            if now is given or self._ours(trace, now):
                continue
            if not isinstance(given, tuple) and (not isinstance(p, InTable) or id(p.table) in owned):
                continue
            for number in _numbers(given):
                number.known.pin_names(number.known.names_of(number), "the function assigns it")
        for s, shape in trace.shaped.items():
            c = trace.captured[s]
            if c.storage.base is not c.placeholder:
                for d in shape:
                    trace.extents.pin(d, "a tensor of this size is written in place")  # type: ignore[union-attr]

    def _capture_moved(self, trace: Trace) -> None:
        """Capture the tensors from outside that the function has put in other places, whether operations read them or not."""
        moved = [(old, now) for _, old, now in changed(self._before, self._names, self._cells)]
        moved += [(was, now) for _, was, now in self._changed_lists(trace)]
        moved += [((), tuple(a.values())) for a in self._additions.found]
        outside = {id(t) for t in self._tensors} | {id(t) for old, _ in moved for _, t in tensors_in(old)}
        for _, now in moved:
            if not _holds(now, self._known):
                for _, t in tensors_in(now):
                    if id(t) in outside and not _of(trace, t):
                        trace.stand_in(t)

    def exchanges(self, trace: Trace, leaves: Sequence[Any], name: str) -> Exchanges:
        """What is exchanged between calls of the function `name`."""
        found = Exchanges({id(old): given for _, old, given in self._held if isinstance(given, tuple)})
        owners = {id(table): owner for table, _, owner in self._before}
        asked: list[tuple[Elsewhere, Any, Any, Any]] = []
        written = {id(x) for x, _, _ in self._changed_lists(trace)}
        written |= {id(a.place.table) for a in self._assigned(trace) if isinstance(a.place, InTable)}
        left = self._left(trace)
        for place in self._asked:
            root = place.place if isinstance(place, Within) else place
            if any(id(x) in written for x in self.standing.along(place)):
                root, _ = self.standing.root_of(place)
            if root.key in left:
                continue
            was = original(self.standing.before(root))
            if isinstance(root, InCell):
                asked.append((root, root.cell, "", was))
            elif isinstance(root, InClass):
                asked.append((root, root.of, root.name, was))
            elif isinstance(root, InList):
                asked.append((root, root.items, root.index, was))
            elif isinstance(root, InTable):
                table: Any = root.table
                asked.append((root, owners.get(id(table), table.of if isinstance(table, (OfClass, Slots)) else table), root.name, was))
        tensors = [t for t in (*self._tensors, *leaves) if isinstance(t, Tensor)]
        found.find(trace, [*self._assigned(trace), *self._items(trace)], asked, tensors, name)
        return found

    def _left(self, trace: Trace) -> set[Any]:
        """The keys of places that hold, when the function is traced, something else than a call will find there."""
        moves = [m for m in changed(self._before, self._names, self._cells) if original(m[2]) is not m[1]]
        return {p.key for p, _, now in moves if not self._stands(p, now) and not self._ours(trace, now) and not where_stood(moves, now)}

    def _assigned(self, trace: Trace) -> Iterator[Assigned]:
        """The entries of tables and the variables in which tensors of the trace are now."""
        for table, before, owner in self._before:
            for key, value in list(table.items()):
                old = before.get(key, MISSING)
                now = original(value)
                if now is not old and self._ours(trace, value):
                    yield Assigned(InTable(table, key, f"{type(owner).__name__}.{key}"), owner, key, old, now)
        for space, name, old in self._names:
            value = space.get(name, MISSING)
            if original(value) is not old and self._ours(trace, value):
                yield Assigned(InTable(space, name, name), space, name, old, value)
        for cell, name, old in self._cells:
            value = content(cell)
            if original(value) is not old and self._ours(trace, value):
                yield Assigned(InCell(cell, name), cell, "", old, value)

    def _changed_lists(self, trace: Trace) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        """Lists whose items calls assign: what was in them, and what is now."""
        numbers = {p.key: (given, old) for p, old, given in self._held if isinstance(p, InList) and type(given) in (Extent, Real)}
        for x, was in self._lists:
            now = [original(v) for v in held_in(x)]
            for i, v in enumerate(now) if numbers else ():
                given, old = numbers.get((id(x), i), (MISSING, None))
                if v is given:
                    now[i] = old
            if len(now) != len(was) or any(a is not b for a, b in zip(now, was)):
                yield x, was, now

    def _computed(self, trace: Trace, x: Any) -> bool:
        """Whether what is in a list now is each call's own: tensors and numbers of the trace."""
        holding = any(isinstance(p, InList) and p.items is x for p, _, _ in self._held)
        return holding or any(type(v) in (Extent, Real) or self._ours(trace, v) for v in held_in(x))

    def _items(self, trace: Trace) -> Iterator[Assigned]:
        for x, before, now in self._changed_lists(trace):
            for i, old in enumerate(before):
                value = now[i] if i < len(now) else MISSING
                if value is not old:
                    yield Assigned(InList(x, i, f"a list's [{i}]"), x, i, old, value)

    def _ours(self, trace: Trace, value: Any) -> bool:
        """Whether there are tensors in a value that only the trace has, or in a container numbers: those that calls must put there."""
        if isinstance(value, Tensor):
            return _of(trace, value)
        if not isinstance(value, (tuple, list, dict)):
            return False
        if not any(_of(trace, t) for _, t in tensors_in(value)) and not _has_numbers(value):
            return False
        return not _holds(value, self._known)  # a list or dict that is known stays the one it is

    def writes(self, assembly: Assembly, results: Sequence[Any], exchanges: Exchanges) -> tuple[list[Write], list[Watch]]:
        """What calls assign, and which lists and dicts they must find where they are. results: what the function returned."""
        trace = assembly.trace
        values = [a.value for a in self._assigned(trace)] + [now for _, _, now in self._changed_lists(trace)]
        values += [v for a in self._additions.found for v in a.values()]
        tensors = {id(t): t for v in (*values, *results) for _, t in tensors_in(v)}
        tensors.update((id(t), t) for _, t, _ in trace.rebound.values())
        self.shared = Counter(id(t._storage) for t in tensors.values())
        found: list[Write] = []
        into: list[Any] = []
        for w in exchanges.watches:
            into += [w.place.items] if isinstance(w.place, InList) else [w.place.table] if isinstance(w.place, InTable) else []
        for table, before, _ in self._before:
            for key, value in list(table.items()):
                if self._is_assigned(InTable(table, key, ""), value, before.get(key, MISSING)):
                    found.append(PlainWrite(table, key, plain_dim(value)))
        places: list[tuple[Elsewhere, Any]] = [(InTable(space, name, name), old) for space, name, old in self._names]
        places += [(InCell(cell, name), old) for cell, name, old in self._cells]
        for place, old in places:
            if self._is_assigned(place, value := place.read(), old):
                found.append(PlaceWrite(place, Built(LEAF, (plain_dim(value),))))
        for a in self._assigned(trace):
            found.append(PlaceWrite(a.place, self.recipe(assembly, a.value)))
            if isinstance(a.place, InTable):
                into.append(a.place.table)
        for noted in self._additions.found:
            done = tuple((n, tuple([self.recipe(assembly, v) for v in given])) for n, given in noted.done)
            found.append(ListAdd(noted.of, done, all(_is_known(v) for v in noted.values())))
            exchanges.rebound[id(noted.of)] = ALL
            into.append(noted.of)
        for x, was, now in self._changed_lists(trace):
            if was and len(now) > len(was) and any(self._ours(trace, v) for v in now):
                raise LeakedTensorError(
                    f"{assembly.name}: a compiled function adds tensors to a list that it also looks at, or that holds what no call can "
                    "make again: each call would be compiled for its length. Look at it outside, or return what is added"
                )
            at = {id(v): i for i, v in reversed(list(enumerate(was)))}
            items = [
                (at[id(v)], None) if id(v) in at else (-1, self.recipe(assembly, v) if self._ours(trace, v) else plain_dim(v)) for v in now
            ]
            found.append(ListWrite(x, tuple(items), None if self._computed(trace, x) else tuple(now)))
            into.append(x)
        for o, known in self._optimizers:
            for p, state in o.state.items():
                if p not in known:
                    made = ((k, assembly.recipe(v) if isinstance(v, Tensor) and _of(trace, v) else plain_dim(v)) for k, v in state.items())
                    found.append(NewState(o.state, p, type(state), tuple(made)))
        stay: list[Watch] = list(self.standing.where({id(x): x for x in into if isinstance(x, (list, deque, dict))}))
        stay += (*reordered(self._before, self._others), *self._surroundings.changed())
        moves = list(changed(self._before, self._names, self._cells))
        gone = {id(v) for _, was, now in self._changed_lists(trace) for i, v in enumerate(was) if i >= len(now) or now[i] is not v}
        for place, old, now in moves:
            if self._is_left(trace, place, old, now):
                stood = where_stood(moves, now)
                if is_constant(now):
                    found.append(PlaceWrite(place, Built(LEAF, (now,))))
                elif isinstance(now, Tensor):
                    stay.append(Once(f"assigns {place.text} a tensor that no operation reads"))
                elif stood:
                    found.append(PlaceWrite(place, Built(LEAF, (now,))))
                    stay += [PlaceIs(p, now) for p in stood]
                    self._moved.append((place, old))
                elif id(now) in gone:  # it would move again from where it is no more
                    stay.append(Once(f"moves a {type(now).__name__} to {place.text}"))
                else:
                    stay.append(PlaceIs(place, now))
        return found, stay

    def _stands(self, place: Elsewhere, now: Any) -> bool:
        """Whether what is in a place is what stands there for what each call finds. Anywhere else that has been assigned."""
        return any(now is given and p.key == place.key for p, _, given in self._held)

    def _is_left(self, trace: Trace, place: Elsewhere, old: Any, now: Any) -> bool:
        """Whether no write repeats that `now` was put in the place of `old`."""
        if original(now) is old or self._stands(place, now):
            return False
        return not (isinstance(now, PLAIN) or type(now) in (Extent, Real) or self._ours(trace, now))

    def _is_assigned(self, place: Elsewhere, value: Any, old: Any) -> bool:
        """Whether a plain value is one that the function has put in the place of another."""
        return isinstance(value, PLAIN) and value is not old and not self._stands(place, value)

    def owners(self, traced: Traced, guards: Guards) -> Iterator[InlineWatch]:
        """Watches of the tables that calls read and write themselves: whose they are may hold its attributes in another one."""
        known = {id(w.of) for w in guards.inline if isinstance(w, TableIs)}
        places = [*guards.exchanged, *(() if traced.fit is None else traced.fit.outside)]
        places += [w.place for w in (*guards.deep, *traced.writes) if isinstance(w, (PlaceHolds, PlaceIs, PlaceWrite))]
        used = {id(table_of(p)) for p in places}
        used |= {id(w.table) for w in (*guards.deep, *traced.writes) if isinstance(w, (KeysAre, PlainWrite))}
        for table, _, owner in self._before:
            if id(table) in used and owner is not table:
                held = vars_of(owner)
                name = next((n for n in TABLES if held is not None and held.get(n) is table), None)
                if name is not None:
                    yield ItemIs(held, name, f"{type(owner).__name__}.{name}", table)  # type: ignore[arg-type]
                if held is not None and (name is not None or table is held) and id(owner) not in known:
                    known.add(id(owner))
                    yield TableIs(owner, held)

    def recipe(self, assembly: Assembly, value: Any) -> Any:
        """How a tensor, or a value with tensors and numbers in it, is made at each call."""
        if isinstance(value, Tensor):
            return assembly.recipe(value, self.shared[id(value._storage)] == 1)
        leaves: list[Any] = []
        structure = flatten(value, leaves)
        return Built(structure, tuple([self.recipe(assembly, x) if isinstance(x, Tensor) else plain_dim(x) for x in leaves]))

    def put_back(self, trace: Trace) -> None:
        """Take out what the trace has made. Numbers and the like stay as the function has assigned them, but those that each call reads."""
        left = list(self._additions.stop())
        for place, _, now in changed(self._before, self._names, self._cells) if left else ():
            if any(now is stand_in for stand_in, _ in left):
                place.put(now.of)
        for stand_in, done in left:  # the function has failed: what it has added until then stays
            for method, given in done:
                if all(isinstance(v, PLAIN) for v in given):
                    getattr(stand_in.of, method)(*[_number(v) if type(v) in (Extent, Real) else v for v in given])
        for owner, table in self._own:
            if (now := vars_of(owner)) is not table and any(self._ours(trace, v) for v in (now or {}).values()):
                object.__setattr__(owner, "__dict__", table)
        for o, known in self._optimizers:
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for x, was, _ in list(self._changed_lists(trace)):
            if self._computed(trace, x):
                restore(x, was)
        for space, name, old in self._names:
            value: Any = space.get(name)
            if type(value) in (Extent, Real):
                space[name] = _number(value)
            elif self._ours(trace, value):
                put_entry(space, name, old)
        for cell, _, old in self._cells:
            value = content(cell)
            if type(value) in (Extent, Real):
                cell.cell_contents = _number(value)
            elif self._ours(trace, value):
                put_content(cell, old)
        for table, before, _ in self._before:
            for key, value in list(table.items()):
                if type(value) in (Extent, Real):
                    table[key] = _number(value)
                elif value is not before.get(key) and self._ours(trace, value):
                    put_entry(table, key, before.get(key, MISSING))
        for place, old in self._moved:
            put_back(place, old)
        for p, value, _ in self._held:
            p.put(value)
        self._held, self._moved = [], []
        HELD.clear()
        ADDED_TO.clear()

    def undo(self) -> None:
        """Make all of it as it was: the function will run again, or no call follows. Errors of its own undo nothing, as in Python."""
        for o, known in self._optimizers:
            for p in [p for p in o.state if p not in known]:
                del o.state[p]
        for owner, own in self._own:
            if vars_of(owner) is not own:
                object.__setattr__(owner, "__dict__", own)
        for x, before in (*((table, before) for table, before, _ in self._before), *self._others):
            restore(x, before)
        for space, name, value in self._names:
            if space.get(name, MISSING) is not value:
                put_entry(space, name, value)
        for cell, _, value in self._cells:
            if content(cell) is not value:
                put_content(cell, value)
        self._surroundings.undo()
        bump()


def _number(x: Extent | Real) -> Any:
    """What it is in the call that is traced; 0 for what only its code tells, which the call puts there."""
    names = x.known.names_of(x)
    return 0 if any(n not in x.known.values for n in names) else valued(plain_dim(x), x.known.values)


def _is_known(x: Any) -> bool:
    """Whether there are neither tensors in a value, nor numbers that only the code tells."""
    leaves: list[Any] = []
    flatten(x, leaves)
    unknown = (n not in v.known.values for v in leaves if type(v) in (Extent, Real) for n in v.known.names_of(v))
    return not any(isinstance(v, Tensor) for v in leaves) and not any(unknown)


def _numbers(x: Any) -> Iterator[Any]:
    """The run-time numbers in what a place holds."""
    if type(x) in (Extent, Real):
        yield x
    elif isinstance(x, tuple):
        for v in held_in(x):
            yield from _numbers(v)


def _has_numbers(x: Any) -> bool:
    """Whether a container that is taken apart has run-time numbers among its leaves."""
    leaves: list[Any] = []
    return flatten(x, leaves) is not LEAF and any(type(v) in (Extent, Real) for v in leaves)


def _holds(x: Any, known: set[int], depth: int = 0) -> bool:
    """Whether a value is one of the known lists and dicts, or has one in it."""
    if not isinstance(x, (tuple, list, dict)) or depth > 6:
        return False
    return id(x) in known or any(_holds(v, known, depth + 1) for v in (dict.values(x) if isinstance(x, dict) else held_in(x)))


def _among(s: Any, leaves: Sequence[Any]) -> bool:
    return any(isinstance(x, Tensor) and x._storage is s for x in leaves)


def _of(trace: Trace, t: Tensor) -> bool:
    """Whether a tensor was made by a trace, or shares memory with one that it has captured."""
    return t._array.source is trace or t._storage in trace.captured
