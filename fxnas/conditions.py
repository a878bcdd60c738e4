"""Boolean conditions over architectures: when does a part of a graph run, when is a decision part of an architecture.

A condition is built from atoms ("candidate 2 of 'conv1' is chosen", "something is chosen at 'skip'") with `all_of`,
`any_of` and `negate`. Conditions are interned: equal ones are one object, so comparing them, hashing them and using
them as dictionary keys costs nothing, however large the shared expression behind them is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal
from weakref import WeakValueDictionary

Decisions = Mapping[str, tuple[int, ...]]
Kind = Literal["true", "false", "atom", "not", "all", "any"]
# Of a condition: its kind, the identity of its atom, and the places of its terms among the parts before it.
Part = tuple[Kind, tuple[str, int | None, int, int | None] | None, tuple[int, ...]]

_DEPTH = 4  # of the text; what lies deeper is left out
_SMALL = 16  # a simplification compares terms pairwise; larger expressions are kept as they are


class Atom:
    """Candidate `candidate` of choice `key` is chosen; with `candidate` None: anything is chosen at `key`.

    It carries the number of candidates and `n_chosen` of its choice, since these decide what simplifies: of exactly one
    of n candidates, "0 or 1 or … or n-1" is always true.
    """

    __slots__ = ("candidate", "count", "key", "n_chosen")

    def __init__(self, key: str, candidate: int | None, count: int, n_chosen: int | None) -> None:
        self.key, self.candidate, self.count, self.n_chosen = key, candidate, count, n_chosen

    @property
    def identity(self) -> tuple[str, int | None, int, int | None]:
        """What equal atoms have in common."""
        return (self.key, self.candidate, self.count, self.n_chosen)

    def holds(self, decisions: Decisions) -> bool:
        """Whether the atom is true under `decisions` (which must have the key)."""
        decision = decisions[self.key]
        return bool(decision) if self.candidate is None else self.candidate in decision

    def __str__(self) -> str:
        return f"{self.key!r} is present" if self.candidate is None else f"{self.key!r} has {self.candidate}"


class Condition:
    """An interned boolean expression. Build it with `chosen`, `present`, `all_of`, `any_of`, `negate`."""

    __slots__ = ("__weakref__", "_keys", "_order", "atom", "kind", "terms")
    _interned: ClassVar[WeakValueDictionary[object, Condition]] = WeakValueDictionary()

    kind: Kind
    atom: Atom | None
    terms: tuple[Condition, ...]
    _keys: tuple[str, ...] | None
    _order: tuple[object, ...]

    @classmethod
    def _make(cls, kind: Kind, atom: Atom | None = None, terms: tuple[Condition, ...] = ()) -> Condition:
        # Terms are sorted by what they are, so that an expression does not depend on what was built before.
        terms = tuple(sorted(terms, key=lambda term: term._order))
        identity = (kind, atom.identity if atom else None, tuple(map(id, terms)))
        found = cls._interned.get(identity)
        if found is None:
            found = object.__new__(cls)
            found.kind, found.atom, found.terms, found._keys = kind, atom, terms, None
            found._order = _order(kind, atom, terms)
            cls._interned[identity] = found
        return found

    def __init__(self) -> None:
        raise TypeError("build conditions with chosen, present, all_of, any_of and negate")

    def __reduce__(self) -> tuple[object, ...]:
        return (_last, (tuple(parts_of([self])[0]),))

    def __copy__(self) -> Condition:
        return self

    def __deepcopy__(self, memo: object) -> Condition:
        return self

    def _parts(self, done: Container[Condition]) -> Iterator[Condition]:
        """This condition and what it is made of, terms first, without recursion, but for what is done already.

        Whatever is yielded has to be in `done` before the next one is asked for.
        """
        stack = [self]
        while stack:
            condition = stack[-1]
            missing = [term for term in condition.terms if term not in done]
            if missing and condition not in done:
                stack.extend(missing)
                continue
            stack.pop()
            if condition not in done:
                yield condition

    def holds(self, decisions: Decisions, memo: dict[Condition, bool] | None = None) -> bool:
        """The truth value under `decisions`, which must have every key of `keys`.

        Args:
            decisions: key → chosen indices.
            memo: pass one dictionary to several calls under the same decisions to share work between them.
        """
        memo = {} if memo is None else memo
        for part in self._parts(memo):
            memo[part] = part._evaluate(decisions, memo)
        return memo[self]

    def _evaluate(self, decisions: Decisions, memo: dict[Condition, bool]) -> bool:
        match self.kind:
            case "atom":
                assert self.atom is not None
                return self.atom.holds(decisions)
            case "not":
                return not memo[self.terms[0]]
            case "all":
                return all(memo[term] for term in self.terms)
            case "any":
                return any(memo[term] for term in self.terms)
        return self.kind == "true"

    def substitute(
        self, value_of: Callable[[Atom], bool | None], memo: dict[Condition, Condition] | None = None
    ) -> Condition:
        """The condition with every atom for which `value_of` knows a value replaced by it."""
        memo = {} if memo is None else memo
        for part in self._parts(memo):
            memo[part] = part._substitute(value_of, memo)
        return memo[self]

    def _substitute(self, value_of: Callable[[Atom], bool | None], memo: dict[Condition, Condition]) -> Condition:
        if self.kind == "atom":
            assert self.atom is not None
            value = value_of(self.atom)
            return self if value is None else (ALWAYS if value else NEVER)
        if self.kind in ("true", "false"):
            return self
        terms = [memo[term] for term in self.terms]
        if self.kind == "not":
            return negate(terms[0])
        return all_of(terms) if self.kind == "all" else any_of(terms)

    def under(self, key: str, decision: Iterable[int]) -> Condition:
        """The condition once the decision at `key` is known."""
        decided = {key: tuple(decision)}
        return self.substitute(lambda atom: atom.holds(decided) if atom.key == key else None)

    def atoms(self) -> Iterator[Atom]:
        """Every atom once, in order of first appearance."""
        seen: set[Condition] = set()
        stack = [self]
        while stack:
            condition = stack.pop()
            if condition in seen:
                continue
            seen.add(condition)
            if condition.atom is not None:
                yield condition.atom
            stack.extend(reversed(condition.terms))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys the condition depends on, in order of first appearance."""
        if self._keys is None:
            self._keys = tuple(dict.fromkeys(atom.key for atom in self.atoms()))
        return self._keys

    def __str__(self) -> str:
        return self._text(_DEPTH)

    def _text(self, depth: int) -> str:
        match self.kind:
            case "atom":
                return str(self.atom)
            case "true" | "false":
                return "always" if self.kind == "true" else "never"
        if not depth:
            return "…"
        parts = [term._text(depth - 1) for term in self.terms]
        if self.kind == "not":
            return f"not ({parts[0]})"
        word = " and " if self.kind == "all" else " or "
        nested = [term.kind in ("all", "any") for term in self.terms]
        return word.join(f"({text})" if inside else text for text, inside in zip(parts, nested, strict=True))

    def __repr__(self) -> str:
        return f"<Condition {self}>"


def _order(kind: Kind, atom: Atom | None, terms: tuple[Condition, ...]) -> tuple[object, ...]:
    """Sorts atoms by name, then everything else by a digest of its content."""
    if atom is not None:
        return (0, atom.key, -1 if atom.candidate is None else atom.candidate, str(atom.identity))
    digest = hashlib.blake2b(repr((kind, *(term._order for term in terms))).encode(), digest_size=12).hexdigest()
    return (1, digest, 0, "")


ALWAYS = Condition._make("true")
NEVER = Condition._make("false")


def parts_of(conditions: Iterable[Condition]) -> tuple[list[Part], list[int]]:
    """What conditions are made of, each part once, after those it is made of; and the place of each condition."""
    places: dict[Condition, int] = {}
    parts: list[Part] = []
    found: list[int] = []
    for condition in conditions:
        for part in condition._parts(places):
            atom = part.atom.identity if part.atom else None
            parts.append((part.kind, atom, tuple(places[term] for term in part.terms)))
            places[part] = len(places)
        found.append(places[condition])
    return parts, found


def from_parts(parts: Iterable[Part]) -> list[Condition]:
    """The condition that each part is; as it was, nothing is simplified."""
    made: list[Condition] = []
    for kind, identity, terms in parts:
        made.append(Condition._make(kind, Atom(*identity) if identity else None, tuple(made[i] for i in terms)))
    return made


class Evaluation:
    """The truth values of several conditions, asked for again and again: what they share is found once.

    Args:
        conditions: what is evaluated.

    Attributes:
        keys: what the conditions depend on.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._parts, self._found = parts_of(conditions)
        self.keys = frozenset(atom[0] for _, atom, _ in self._parts if atom is not None)

    def __call__(self, decisions: Decisions) -> tuple[bool, ...]:
        """The value of each condition under `decisions`, which must have every key of `keys`."""
        values: list[bool] = []
        for kind, atom, terms in self._parts:
            if atom is not None:
                decision = decisions[atom[0]]
                value = bool(decision) if atom[1] is None else atom[1] in decision
            elif kind == "all":
                value = all([values[i] for i in terms])
            elif kind == "any":
                value = any([values[i] for i in terms])
            else:
                value = not values[terms[0]] if kind == "not" else kind == "true"
            values.append(value)
        return tuple([values[i] for i in self._found])


def _last(parts: Iterable[Part]) -> Condition:
    return from_parts(parts)[-1]


def chosen(key: str, candidate: int, count: int, n_chosen: int | None) -> Condition:
    """Candidate `candidate` (of `count`, of which `n_chosen` are taken; None: any number) is chosen at `key`."""
    if n_chosen == 0:
        return NEVER
    if n_chosen == count:
        return ALWAYS
    return Condition._make("atom", Atom(key, candidate, count, n_chosen))


def present(key: str, count: int, n_chosen: int | None) -> Condition:
    """Anything is chosen at `key`."""
    if n_chosen is not None:
        return ALWAYS if n_chosen else NEVER
    return Condition._make("atom", Atom(key, None, count, n_chosen))


def negate(condition: Condition) -> Condition:
    """The opposite of `condition`."""
    match condition.kind:
        case "true":
            return NEVER
        case "false":
            return ALWAYS
        case "not":
            return condition.terms[0]
    return Condition._make("not", terms=(condition,))


def all_of(conditions: Iterable[Condition]) -> Condition:
    """True where every one of `conditions` is; ALWAYS for none."""
    terms = _flatten(conditions, "all", ALWAYS)
    if NEVER in terms or _contradicts(terms) or _exclusive(terms):
        return NEVER
    terms = {term: None for term in terms if not _implied(term, terms)}
    return _combine("all", list(terms), ALWAYS)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """True where at least one of `conditions` is; NEVER for none."""
    terms = _flatten(conditions, "any", NEVER)
    if ALWAYS in terms or _contradicts(terms):
        return ALWAYS
    while (merged := _merge_cover(terms)) is not None:
        if ALWAYS in merged:
            return ALWAYS
        terms = merged
    return _combine("any", _absorb(list(terms)), NEVER)


def _combine(kind: Kind, terms: list[Condition], empty: Condition) -> Condition:
    if not terms:
        return empty
    return terms[0] if len(terms) == 1 else Condition._make(kind, terms=tuple(terms))


def _flatten(conditions: Iterable[Condition], kind: Kind, neutral: Condition) -> dict[Condition, None]:
    terms: dict[Condition, None] = {}
    for condition in conditions:
        if condition.kind == kind and len(condition.terms) <= _SMALL:
            terms.update(dict.fromkeys(condition.terms))
        elif condition is not neutral:
            terms[condition] = None
    return terms


def _contradicts(terms: dict[Condition, None]) -> bool:
    """A term and its opposite."""
    return any(term.kind == "not" and term.terms[0] in terms for term in terms)


def _exclusive(terms: Iterable[Condition]) -> bool:
    """Two different candidates of a choice that takes exactly one."""
    single: dict[str, int] = {}
    for atom in (term.atom for term in terms):
        if atom is None or atom.n_chosen != 1 or atom.candidate is None:
            continue
        if single.setdefault(atom.key, atom.candidate) != atom.candidate:
            return True
    return False


def _implied(term: Condition, terms: dict[Condition, None]) -> bool:
    """'Something is chosen' says nothing beside 'candidate 2 is chosen'."""
    if term.atom is None or term.atom.candidate is not None:
        return False
    key = term.atom.key
    return any(other.atom is not None and other.atom.key == key and other is not term for other in terms)


def _conjuncts(term: Condition) -> tuple[Condition, ...]:
    return term.terms if term.kind == "all" else (term,)


def _merge_cover(terms: dict[Condition, None]) -> dict[Condition, None] | None:
    """(a0 and x) or (a1 and x) or … over all candidates of a choice is x; (p and x) or (not p and x) is x."""
    groups: dict[tuple[str, frozenset[Condition]], dict[int, Condition]] = {}
    signs: dict[tuple[Condition, frozenset[Condition]], tuple[bool, Condition]] = {}
    for term in terms:
        conjuncts = _conjuncts(term)
        if len(conjuncts) > _SMALL:
            continue
        for literal in conjuncts:
            rest = frozenset(c for c in conjuncts if c is not literal)
            positive = literal.kind != "not"
            sign, other = signs.setdefault((literal if positive else literal.terms[0], rest), (positive, term))
            if sign is not positive:
                return _replaced(terms, (term, other), all_of(c for c in conjuncts if c is not literal))
            atom = literal.atom
            if atom is None or atom.candidate is None:
                continue
            group = groups.setdefault((atom.key, rest), {})
            group[atom.candidate] = term
            if len(group) == atom.count:
                common = [c for c in conjuncts if c is not literal]
                return _replaced(terms, group.values(), all_of([*common, present(atom.key, atom.count, atom.n_chosen)]))
    return None


def _replaced(terms: dict[Condition, None], old: Iterable[Condition], new: Condition) -> dict[Condition, None]:
    gone = set(old)
    return _flatten([*(term for term in terms if term not in gone), new], "any", NEVER)


def _absorb(terms: list[Condition]) -> list[Condition]:
    """Drops what a weaker term covers: x or (x and y) is x."""
    if len(terms) > _SMALL:
        return terms
    parts = [frozenset(_conjuncts(term)) for term in terms]
    return [t for i, t in enumerate(terms) if not any(parts[j] < parts[i] for j in range(len(terms)))]


TRAINING_KEY = "\0training"
TRAINING = present(TRAINING_KEY, 1, None)
"""The module is in training mode: no decision, but a condition like the others. A decision of () means evaluation."""
