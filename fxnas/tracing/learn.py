"""Learning, from recorded runs, under which decisions each step runs and what its arguments then are.

A run shows one path through Python. Where runs differ, the smallest set of decisions that explains the difference is
looked for: a step's guard, an argument's source. Runs that would tell two explanations apart are asked for, so that no
explanation is taken for lack of a counter-example.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY, Condition, all_of, any_of, negate, present
from fxnas.errors import TraceError
from fxnas.tracing.program import Decisions, Listing, Program, Select, Step, identity, unique
from fxnas.tracing.recording import Expression
from fxnas.tree import flatten, map_leaves, unflatten

_LIMIT = 3  # the most decisions that one condition may depend on at once
_LIST = 7  # … if these are elements of one choice

Assignment = Mapping[int, bool]  # index of a literal → its truth


class Steering:
    """The decisions that Python sees: their literals, and how to realize a wanted assignment of them.

    Args:
        choices: the choices of the steered keys.
        literals: conditions of a single atom each.
        base: the decisions of the first run.
    """

    def __init__(self, choices: Mapping[str, Choice], literals: Sequence[Condition], base: Decisions) -> None:
        self.choices, self.literals, self.base = choices, list(literals), dict(base)

    def truths(self, decisions: Decisions) -> tuple[bool, ...]:
        """The truth of each literal."""
        return tuple(literal.holds(decisions) for literal in self.literals)

    def key(self, literal: int) -> str:
        """The key that a literal, given by its index, is about."""
        atom = self.literals[literal].atom
        assert atom is not None
        return atom.key

    def members(self, key: str) -> tuple[int, ...]:
        """The literals of a choice that are about one candidate each, not about whether any is chosen."""
        atoms = ((i, literal.atom) for i, literal in enumerate(self.literals))
        return tuple(i for i, a in atoms if a is not None and a.key == key and a.candidate is not None)

    def realize(self, assignment: Assignment) -> dict[str, tuple[int, ...]] | None:
        """Decisions under which the literals have the given truth, otherwise as in the base; None if there are none."""
        decisions = dict(self.base)
        by_key: dict[str, dict[int | None, bool]] = {}
        for index, truth in assignment.items():
            atom = self.literals[index].atom
            assert atom is not None
            by_key.setdefault(atom.key, {})[atom.candidate] = truth
        for key, wanted in by_key.items():
            decision = self._decision(key, wanted)
            if decision is None:
                return None
            decisions[key] = decision
        truths = self.truths(decisions)
        return decisions if all(truths[i] == truth for i, truth in assignment.items()) else None

    def _decision(self, key: str, wanted: Mapping[int | None, bool]) -> tuple[int, ...] | None:
        if key == TRAINING_KEY:
            return (0,) if wanted[None] else ()
        choice = self.choices[key]
        legal = [i for i in range(len(choice.candidates)) if wanted.get(i, True)]
        taken = [i for i in legal if wanted.get(i, False)]
        if choice.n_chosen is None:
            if wanted.get(None) is False:
                return () if not taken else None
            return tuple(sorted({*taken, *(i for i in self.base[key] if i in legal)})) or tuple(legal[:1])
        fill = [i for i in (*self.base[key], *legal) if i in legal and i not in taken]
        decision = taken + list(dict.fromkeys(fill))[: max(choice.n_chosen - len(taken), 0)]
        return tuple(sorted(decision)) if len(decision) == choice.n_chosen else None


def is_absent(choices: Mapping[str, Choice], value: Any, decisions: Decisions) -> bool:
    """Whether `value` is a choice that has chosen nothing."""
    if not isinstance(value, Step) or value.record.op != "choose":
        return False
    return decisions.get(value.record.kwargs["key"]) == () and value.record.kwargs["reduction"] not in ("mask", "none")


class Learner:
    """Fills in the guards and arguments of a program's steps, and collects further runs that it needs in `wanted`."""

    def __init__(self, program: Program, steering: Steering) -> None:
        self.program, self.steering = program, steering
        self.truths = [steering.truths(run.decisions) for run in program.runs]
        self.wanted: list[dict[str, tuple[int, ...]]] = []
        self._explained: dict[tuple[Hashable, ...], list[tuple[int, ...]]] = {}
        self._position = {step: i for i, step in enumerate(program.steps)}
        self._alternatives: dict[Step, list[Step]] = {}
        self._tables: dict[Step, list[dict[int, Any]]] = {}

    def learn(self) -> None:
        """Learns guards first, since arguments are explained with them.

        Raises:
            TraceError: a difference between runs has no explanation that a graph could hold.
        """
        for step in self.program.steps:
            table = {run: run in step.variants for run in range(len(self.program.runs))}
            step.guard = self._condition(table, step, "whether it runs")
        for step in self.program.steps:
            self._collect(step)
        for step in self.program.steps:
            self._arguments(step)

    # -- arguments

    def _collect(self, step: Step) -> None:
        """The values of each argument by run, where all runs give arguments of one form."""
        flat = {run: flatten(variant) for run, variant in step.variants.items()}
        if len({form for _, form in flat.values()}) > 1:
            return
        width = len(next(iter(flat.values()))[0])
        columns = [{run: leaves[i] for run, (leaves, _) in flat.items()} for i in range(width)]
        self._tables[step] = [self._without_none(column) for column in columns]
        for column in self._tables[step]:
            sources = list(_steps(unique(column.values())))
            for later in sources:
                earlier = [s for s in sources if self._position[s] < self._position[later]]
                if self._available(later) is not ALWAYS:
                    self._alternatives.setdefault(later, []).extend(earlier)

    def _without_none(self, column: dict[int, Any]) -> dict[int, Any]:
        """None where another run has a choice that is absent in this one: the choice itself, whose value is None."""
        steps = [value for value in unique(column.values()) if isinstance(value, Step)]
        for run, value in column.items():
            if value is None:
                decisions = self.program.runs[run].decisions
                column[run] = next((s for s in steps if is_absent(self.steering.choices, s, decisions)), None)
        return column

    def _arguments(self, step: Step) -> None:
        if step not in self._tables:
            step.args, step.kwargs = self._varying_list(step)
            return
        values = [self._value(column, step) for column in self._tables[step]]
        form = flatten(next(iter(step.variants.values())))[1]
        step.args, step.kwargs = unflatten(values, form)

    def _value(self, column: dict[int, Any], step: Step) -> Any:
        values = unique(column.values())
        if len(values) == 1:
            return values[0]
        if _is_one_formula(values):
            operands = range(len(values[0].operands))
            parts = (self._value({run: value.operands[i] for run, value in column.items()}, step) for i in operands)
            return Expression(values[0].function, tuple(parts))
        chain = self._chain(column, values)
        if chain is not None:
            return chain
        deps = self._explain(column, step, "an argument")
        return self._tree(deps, {tuple(self.truths[run][d] for d in deps): value for run, value in column.items()})

    def _tree(self, deps: tuple[int, ...], table: dict[tuple[bool, ...], Any]) -> Any:
        values = unique(table.values())
        if len(values) == 1:
            return values[0]
        halves = [{key[1:]: value for key, value in table.items() if key[0] is side} for side in (True, False)]
        if not halves[0] or not halves[1]:
            return self._tree(deps[1:], halves[0] or halves[1])
        yes, no = (self._tree(deps[1:], half) for half in halves)
        return yes if identity(yes) == identity(no) else Select(self.steering.literals[deps[0]], yes, no)

    # -- "the latest of several that ran", as of a variable that is overwritten again and again

    def _available(self, step: Step) -> Condition:
        details = step.record.kwargs if step.record.op == "choose" else {}
        if details.get("n_chosen", 1) is None and details["reduction"] not in ("mask", "none"):
            return all_of([step.guard, present(details["key"], len(details["candidates"]), None)])
        return step.guard

    def _chain(self, column: dict[int, Any], values: list[Any]) -> Any:
        if not all(isinstance(value, Step) for value in values):
            return None
        found = {value: None for value in values}
        pending = list(values)
        while pending:
            for other in self._alternatives.get(pending.pop(), ()):
                if other not in found:
                    found[other] = None
                    pending.append(other)
        items: list[Step] = []
        for item in sorted(found, key=self._position.__getitem__, reverse=True):
            items.append(item)
            if self._available(item) is ALWAYS:
                break
        if any(self._latest(items, run) is not value for run, value in column.items()):
            return None
        result: Any = items[-1]
        for item in reversed(items[:-1]):
            result = select(self._available(item), item, result)
        return result

    def _latest(self, items: list[Step], run: int) -> Step | None:
        decisions = self.program.runs[run].decisions
        return next((item for item in items if self._available(item).holds(decisions)), None)

    # -- lists that lose elements

    def _varying_list(self, step: Step) -> tuple[Any, Any]:
        variants = {run: list(args) for run, (args, _) in step.variants.items()}
        kwargs = {repr(map_leaves(identity, kw)): kw for _, kw in step.variants.values()}
        lengths = {len(args) for args in variants.values()}
        if len(lengths) != 1 or len(kwargs) != 1:
            raise self._refusal(step, "its number of arguments depends on choices")
        result = []
        for i in range(lengths.pop()):
            column = {run: args[i] for run, args in variants.items()}
            if len({flatten(value)[1] for value in column.values()}) == 1:
                result.append(self._nest(column, step))
            else:
                result.append(self._listing(column, step))
        return tuple(result), next(iter(kwargs.values()))

    def _nest(self, column: dict[int, Any], step: Step) -> Any:
        flat = {run: flatten(value) for run, value in column.items()}
        leaves, form = next(iter(flat.values()))
        columns = [self._without_none({run: f[0][i] for run, f in flat.items()}) for i in range(len(leaves))]
        return unflatten([self._value(c, step) for c in columns], form)

    def _listing(self, column: dict[int, Any], step: Step) -> Listing:
        """A list of which some runs lack elements: each is there under a condition, and may itself vary."""
        if not all(isinstance(value, list | tuple) for value in column.values()):
            raise self._refusal(step, "the form of an argument depends on choices")
        longest = max(column, key=lambda run: len(column[run]))
        slots: list[dict[int, Any]] = [{longest: item} for item in column[longest]]
        for run, value in column.items():
            if run != longest:
                slots = _fit(slots, run, list(value))
        items = []
        for slot in slots:
            there = {run: run in slot for run in column}
            condition = self._condition(there, step, "an element of a list")
            items.append((condition, self._value(self._without_none(slot), step)))
        return Listing(type(column[longest]), tuple(items))

    # -- explanations

    def _condition(self, table: dict[int, bool], step: Step, what: str) -> Condition:
        if all(table.values()):
            return ALWAYS
        deps = self._explain(table, step, what)
        rows = {tuple(self.truths[run][d] for d in deps): truth for run, truth in table.items()}
        return _as_condition(self._tree(deps, rows))

    def _explain(self, table: Mapping[int, Any], step: Step, what: str) -> tuple[int, ...]:
        """The smallest set of literals that determines the values of the table."""
        groups: dict[Hashable, int] = {}
        pattern = tuple((run, groups.setdefault(identity(value), len(groups))) for run, value in table.items())
        found = self._explained.get(pattern)
        if found is None:
            found = self._explained[pattern] = self._search(pattern)
            self._ask_further(found, pattern, step)
        if not found:
            raise self._refusal(step, f"{what} depends on more than {_LIMIT} choices at once")
        return found[0]

    def _search(self, pattern: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
        count = len(self.steering.literals)
        varying = [i for i in range(count) if len({self.truths[run][i] for run, _ in pattern}) > 1]
        for size in range(_LIMIT + 1):
            fitting = [deps for deps in combinations(varying, size) if self._rows(deps, pattern) is not None]
            if fitting:
                return fitting
        return [deps for deps in self._whole_lists(varying) if self._rows(deps, pattern) is not None][:1]

    def _whole_lists(self, varying: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """All elements of one choice, which matter together where Python counts them; alone, and beside one more."""
        for key in dict.fromkeys(map(self.steering.key, varying)):
            members = tuple(i for i in self.steering.members(key) if i in varying)
            if _LIMIT < len(members) < _LIST:
                yield members
                yield from ((*members, i) for i in varying if self.steering.key(i) != key)

    def _rows(self, deps: tuple[int, ...], pattern: Iterable[tuple[int, int]]) -> dict[tuple[bool, ...], int] | None:
        rows: dict[tuple[bool, ...], int] = {}
        for run, value in pattern:
            truths = self.truths[run]
            if rows.setdefault(tuple(truths[d] for d in deps), value) != value:
                return None
        return rows

    def _ask_further(self, found: list[tuple[int, ...]], pattern: Sequence[tuple[int, int]], step: Step) -> None:
        """Asks for runs that fill the gaps of an explanation, and for one that tells it from the next."""
        if not found:
            return
        rows = [self._rows(deps, pattern) or {} for deps in found[:8]]
        for row in product((True, False), repeat=len(found[0])):
            if row not in rows[0]:
                self._ask(dict(zip(found[0], row, strict=True)), step)
        for deps, other in zip(found[1:8], rows[1:], strict=False):
            self._ask_between(found[0], rows[0], deps, other, step)

    def _ask_between(self, one: tuple[int, ...], first: Any, other: tuple[int, ...], second: Any, step: Step) -> None:
        union = tuple(dict.fromkeys((*one, *other)))
        for row in product((True, False), repeat=len(union)):
            assignment = dict(zip(union, row, strict=True))
            a = first.get(tuple(assignment[d] for d in one))
            b = second.get(tuple(assignment[d] for d in other))
            if a != b and self._ask(assignment, step):
                return

    def _ask(self, assignment: Assignment, step: Step) -> bool:
        decisions = self.steering.realize(assignment)
        if decisions is None or any(run.decisions == decisions for run in self.program.runs):
            return False
        if decisions not in self.wanted:
            self.wanted.append(decisions)
        return True

    def _refusal(self, step: Step, problem: str) -> TraceError:
        keys = ", ".join(repr(key) for key in self.steering.choices)
        return TraceError(
            f"{step.record.frame or 'forward'}: this can't become a graph, since {problem} "
            f"(choices that Python sees: {keys}); let the branch depend on fewer optional inputs, or merge them before "
            "branching"
        )


def _fit(slots: list[dict[int, Any]], run: int, values: list[Any]) -> list[dict[int, Any]]:
    """Puts a run's elements into the slots that hold the same ones (longest common subsequence), or between them."""
    known = [{identity(item) for item in slot.values()} for slot in slots]
    names = [identity(value) for value in values]
    n, m = len(slots), len(values)
    best = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            match = best[i + 1][j + 1] + 1 if names[j] in known[i] else 0
            best[i][j] = max(match, best[i + 1][j], best[i][j + 1])
    fitted: list[dict[int, Any]] = []
    i = j = 0
    while i < n or j < m:
        if i < n and j < m and names[j] in known[i] and best[i][j] == best[i + 1][j + 1] + 1:
            fitted.append({**slots[i], run: values[j]})
            i, j = i + 1, j + 1
        elif i < n and j < m and best[i][j] == best[i + 1][j + 1]:
            fitted.append({**slots[i], run: values[j]})  # another value in the same place
            i, j = i + 1, j + 1
        elif j < m and (i == n or best[i][j] == best[i][j + 1]):
            fitted.append({run: values[j]})
            j += 1
        else:
            fitted.append(slots[i])
            i += 1
    return fitted


def _is_one_formula(values: Sequence[Any]) -> bool:
    """Whether all values are computed in one way, from different operands."""
    return all(isinstance(value, Expression) for value in values) and (
        len({(value.function, len(value.operands)) for value in values}) == 1
    )


def _steps(values: Iterable[Any]) -> Iterator[Step]:
    """The steps among values, and those that values are computed from."""
    for value in values:
        if isinstance(value, Step):
            yield value
        elif isinstance(value, Expression):
            yield from _steps(value.operands)


def _as_condition(tree: Any) -> Condition:
    """A tree of `Select`s with booleans at its leaves."""
    if not isinstance(tree, Select):
        return ALWAYS if tree else NEVER
    present_side, absent_side = _as_condition(tree.present), _as_condition(tree.absent)
    return any_of([all_of([tree.condition, present_side]), all_of([negate(tree.condition), absent_side])])


def select(condition: Condition, present_value: Any, absent_value: Any) -> Any:
    """`Select`s on single atoms for any condition."""
    if condition.kind in ("true", "false"):
        return present_value if condition is ALWAYS else absent_value
    if condition.kind == "not":
        return select(condition.terms[0], absent_value, present_value)
    if condition.kind == "atom":
        return Select(condition, present_value, absent_value)
    first, *rest = condition.terms
    if condition.kind == "all":
        return select(first, select(all_of(rest), present_value, absent_value), absent_value)
    return select(first, present_value, select(any_of(rest), present_value, absent_value))
