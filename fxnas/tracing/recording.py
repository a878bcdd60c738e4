"""What one recorded run of a model is made of: records, and the values that their arguments refer to."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from fxnas.conditions import ALWAYS, Condition

Op = Literal["placeholder", "call_function", "call_method", "call_module", "choose", "switch", "output"]
Where = tuple[tuple[int, int], ...]
Rounds = tuple[tuple[int, ...], ...]


@dataclass(eq=False, slots=True)
class Record:
    """One torch-level call of a run; its arguments are nests of records, `Attribute`s, `Expression`s and constants.

    Attributes:
        op, target: as in torch.fx; `choose` and `switch` have the choice's module path as their target.
        where: the program location, a chain of (code, instruction) from the model's forward down to the user's line.
        rounds: for each of these frames the rounds of the loops around the instruction.
        frame: the user's innermost line, for error messages: `file:line in function`.
        guard: under which decisions of enclosing LayerChoices eager Python would run it.
        meta: `shape` and `dtype` of a tensor value.
        storages: numbers of the storages that the value may share memory with. Those of the model's own tensors are
            negative, and the same in every run.
        mutates: numbers of the storages that the call writes to.
        effect: the call matters for what it does, whoever uses its value: it writes to the model's tensors or to an
        input.
    """

    op: Op
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    where: Where = ()
    rounds: Rounds = ()
    frame: str | None = None
    guard: Condition = ALWAYS
    meta: dict[str, Any] = field(default_factory=dict)
    storages: tuple[int, ...] = ()
    mutates: tuple[int, ...] = ()
    effect: bool = False

    def __repr__(self) -> str:
        return f"<Record {self.op} {self.target}>"

    @property
    def token(self) -> tuple[Any, ...]:
        """What has to agree for two runs' records to be one instruction of the program."""
        return (self.op, self.target, self.where)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A parameter, buffer or plain tensor attribute of the model, by dotted path; `storages` as of a record."""

    path: str
    storages: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that belongs to no module: made outside of the recorded run."""

    tensor: torch.Tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and other.tensor is self.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


@dataclass(frozen=True, slots=True)
class Expression:
    """A number or device computed from tensors: `function(*operands)`, operands as in record arguments."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]


def size_of(tensor: Any, dim: int) -> int:
    """The size of one dimension; what recorded sizes are computed with."""
    size: int = tensor.size(dim)
    return size


class Dim(int):
    """A size that remembers how it was computed from the sizes of tensors, so that it can be computed again.

    It is an ordinary int to Python and to torch; arithmetic on it gives a Dim (or a `DimFloat`) again.
    """

    expression: Expression

    def __new__(cls, value: int, expression: Expression) -> Dim:
        """An int with its origin."""
        self = int.__new__(cls, value)
        self.expression = expression
        return self

    def __deepcopy__(self, memo: Any) -> int:
        return int(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, (int(self),))


class DimFloat(float):
    """A float computed from sizes (`1 / batch`)."""

    expression: Expression

    def __new__(cls, value: float, expression: Expression) -> DimFloat:
        """A float with its origin."""
        self = float.__new__(cls, value)
        self.expression = expression
        return self

    def __deepcopy__(self, memo: Any) -> float:
        return float(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (float, (float(self),))


def _origin(value: Any) -> Any:
    return value.expression if isinstance(value, (Dim, DimFloat)) else value


def _traced(value: Any, expression: Expression) -> Any:
    if type(value) is int:
        return Dim(value, expression)
    return DimFloat(value, expression) if type(value) is float else value


def _define(kind: type[Dim | DimFloat], name: str) -> None:
    function = getattr(operator, name)

    def apply(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return _traced(function(_plain(self), _plain(other)), Expression(function, (_origin(self), _origin(other))))

    def reflected(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return _traced(function(_plain(other), _plain(self)), Expression(function, (_origin(other), _origin(self))))

    setattr(kind, f"__{name}__", apply)
    setattr(kind, f"__r{name}__", reflected)


def _plain(value: int | float) -> int | float:
    return float(value) if isinstance(value, float) else int(value)


for _name in ("add", "sub", "mul", "floordiv", "mod", "truediv", "pow"):
    _define(Dim, _name)
    _define(DimFloat, _name)
Dim.__neg__ = lambda self: _traced(-int(self), Expression(operator.neg, (_origin(self),)))  # type: ignore[method-assign]
Dim.__hash__ = int.__hash__  # type: ignore[method-assign]


@dataclass(slots=True)
class Recording:
    """One run: its records in order, and what it learned beside them.

    Attributes:
        records: in order of execution; the last one is the output.
        decisions: the decisions that Python could see during this run (key → chosen indices).
        masks_read: keys of choices whose mask Python looked at.
        follows_batch: Python looked at a size that follows the batch.
        reads_training: a module outside of torch.nn looked at `self.training`.
        training: the mode that the run was made in.
    """

    records: list[Record]
    decisions: Mapping[str, tuple[int, ...]]
    masks_read: tuple[str, ...] = ()
    follows_batch: bool = False
    reads_training: bool = False
    training: bool = False
