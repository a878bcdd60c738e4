"""Recording the choices: LayerChoice runs all its candidates, InputChoice gives what the tracer asks for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils import _pytree as pytree

from fxnas import ops
from fxnas.choice import Choice
from fxnas.conditions import all_of, chosen
from fxnas.nn import InputChoice, LayerChoice
from fxnas.tracing.fakes import is_contiguous, new_fake
from fxnas.tracing.recorder import Recorder
from fxnas.tracing.recording import Expression, Record


@dataclass(slots=True)
class _Option:
    """What one candidate returned: its leaves, their structure, and what they stood for when it had run."""

    leaves: list[Any]
    spec: Any
    lowered: list[Any]


class ChoiceRecorder(Recorder):
    """A recorder that knows LayerChoice and InputChoice.

    Every candidate of a LayerChoice is recorded, under its own guard and as if it ran alone. What Python sees of a
    choice (whether an optional input is there, which elements a list has, the values of a mask) follows `decisions`.
    """

    def call_module(self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """As for any recorder; a choice becomes `choose` records."""
        if isinstance(module, LayerChoice):
            return self._layer_choice(module, args, kwargs)
        if isinstance(module, InputChoice):
            return self._input_choice(module, *args, **kwargs)
        return super().call_module(original, module, args, kwargs)

    def _layer_choice(self, module: LayerChoice, args: Any, kwargs: Any) -> Any:
        choice, path = self._choice_of(module)
        base, outputs = self.guard, []
        changes: list[dict[int, Record]] = []
        for i, candidate in enumerate(module.candidates()):
            self.guard = all_of([base, chosen(choice.key, i, len(module), module.n_chosen)])
            mark = self.bindings.mark()
            outputs.append(self._option(candidate(*args, **kwargs)))
            changes.append(self.bindings.rewind(mark, self.names))
            self.guard = base
            if choice.n_chosen != 1:
                with self.paused():
                    self._pass_on(choice, path, i, changes[-1])
        with self.paused():  # the sizes that are looked at here are not looked at by the user's Python
            result = self._choose_outputs(module, choice, path, outputs)
            if choice.n_chosen == 1:
                self._merge_changes(choice, path, changes)
            return (result, self._mask(module, choice, path)) if module.return_mask else result

    def _pass_on(self, choice: Choice, path: str, index: int, change: dict[int, Record]) -> None:
        """Where several candidates may run, what one wrote in place is what the next ones see, if it ran."""
        for identity, version in change.items():
            tensor = self.bindings.tensor(identity)
            details = {**self._details(choice), "candidate": index}
            self.bindings.bind(tensor, self.add("switch", path, (version, self.lower_leaf(tensor)), details))

    def _option(self, output: Any) -> _Option:
        leaves, spec = pytree.tree_flatten(output)
        return _Option(leaves, spec, [self.lower_leaf(leaf) for leaf in leaves])

    def _merge_changes(self, choice: Choice, path: str, changes: list[dict[int, Record]]) -> None:
        """A tensor that some candidates write to in place has, afterwards, the version of the chosen candidate."""
        for identity in dict.fromkeys(identity for change in changes for identity in change):
            tensor = self.bindings.tensor(identity)
            base = self.lower_leaf(tensor)
            versions = [change.get(identity, base) for change in changes]
            self.bindings.bind(tensor, self._choose_record(choice, path, versions, "sum"))

    def _choose_outputs(
        self, module: LayerChoice | InputChoice, choice: Choice, path: str, options: list[_Option]
    ) -> Any:
        first = options[0]
        for i, option in enumerate(options):
            if option.spec != first.spec:
                raise self.error(
                    f"candidates of choice {choice.key!r} return different structures: "
                    f"{_label(choice, 0)} {first.spec}, {_label(choice, i)} {option.spec}"
                )
        width = len(first.leaves)
        if width != 1 and choice.n_chosen != 1:
            raise self.error(f"candidates of choice {choice.key!r} return several values, and several may run")
        parts = [
            self._choose_leaf(module, choice, path, [o.leaves[i] for o in options], [o.lowered[i] for o in options])
            for i in range(width)
        ]
        return parts[0] if choice.n_chosen != 1 else pytree.tree_unflatten(parts, first.spec)

    def _choose_leaf(
        self, module: LayerChoice | InputChoice, choice: Choice, path: str, values: list[Any], lowered: list[Any]
    ) -> Any:
        if not all(isinstance(value, Tensor) for value in values):
            if any(isinstance(value, Tensor) or value != values[0] for value in values):
                raise self.error(f"candidates of choice {choice.key!r} return different kinds of values: {values}")
            return values[0]
        self._check_agreement(choice, values)
        if module.reduction == "none":
            return self._choose_list(choice, path, values, lowered)
        record = self._choose_record(choice, path, lowered, module.reduction)
        if choice.n_chosen == 0 or (choice.n_chosen is None and not self._decision(choice)):
            return None
        output = self._fresh(values, len(self._decision(choice)) if module.reduction == "concat" else 1)
        self.bindings.bind(output, record)
        return output

    def _choose_list(self, choice: Choice, path: str, values: list[Any], lowered: list[Any]) -> list[Any]:
        record = self._choose_record(choice, path, lowered, "none")
        if choice.n_chosen is None:
            # Which elements the list has is something that Python sees: the tracer asks for each in turn.
            for value, source in zip(values, lowered, strict=True):
                if isinstance(source, Record):
                    self.bindings.bind(value, source)
            return [values[i] for i in self._decision(choice)]
        outputs = [self._fresh(values) for _ in range(choice.n_chosen)]
        for i, output in enumerate(outputs):
            self.bindings.bind(output, self._add_part(record, operator.getitem, i))
        return outputs

    def _choose_record(self, choice: Choice, path: str, options: Any, reduction: str) -> Record:
        return self.add("choose", path, (tuple(options),), {**self._details(choice), "reduction": reduction})

    def _details(self, choice: Choice) -> dict[str, Any]:
        return {"key": choice.key, "kind": choice.kind, "candidates": choice.candidates, "n_chosen": choice.n_chosen}

    def _mask(self, module: LayerChoice | InputChoice, choice: Choice, path: str) -> Tensor:
        record = self._choose_record(choice, path, (), "mask")
        record.kwargs["device"] = self._input_device()
        with unset_fake_temporarily():
            value = ops.mask(self._decision(choice), len(module))
        self.bindings.bind(value, record)
        self.known[id(value)] = (choice.key,)
        return value

    def _input_device(self) -> Expression | None:
        given = next((r for r in self.records if r.op == "placeholder" and "shape" in r.meta), None)
        return None if given is None else Expression(getattr, (given, "device"))

    def _check_agreement(self, choice: Choice, values: list[Tensor]) -> None:
        first = values[0]
        for i, value in enumerate(values):
            if value.shape != first.shape or value.dtype != first.dtype:
                raise self.error(
                    f"candidates of choice {choice.key!r} disagree: {_label(choice, 0)} gives {self._shape(first)}, "
                    f"{_label(choice, i)} gives {self._shape(value)}",
                    "every candidate has to give the same shape and dtype",
                )

    def _shape(self, tensor: Tensor) -> str:
        sizes = [
            f"batch*{s // self.batch}" if self.batch and s % self.batch == 0 else str(s) for s in map(int, tensor.shape)
        ]
        return f"{tensor.dtype} [{', '.join(sizes)}]".replace("batch*1,", "batch,").replace("torch.", "")

    def _input_choice(self, module: InputChoice, inputs: Any) -> Any:
        choice, path = self._choice_of(module)
        with self.paused():
            options = [self._option(value) for value in module.ordered(inputs)]
            result = self._choose_outputs(module, choice, path, options)
            return (result, self._mask(module, choice, path)) if module.return_mask else result

    def _choice_of(self, module: LayerChoice | InputChoice) -> tuple[Choice, str]:
        path = self.paths.modules.get(id(module))
        if path is None:
            raise self.error("a choice has to be registered in the model (an attribute made in __init__)")
        return self.choices[self.paths.keys[id(module)]], path

    def _decision(self, choice: Choice) -> tuple[int, ...]:
        return self.decisions.get(choice.key, choice.default)

    def _fresh(self, values: list[Tensor], copies: int = 1) -> Tensor:
        """A tensor with the form of the values (dimension 1 repeated `copies` times) and an identity of its own."""
        first = values[0]
        if copies == 1 and type(first) is FakeTensor and is_contiguous(first):
            output: Tensor = new_fake(first.fake_mode, first.shape, first.stride(), first.dtype, first.fake_device)
        else:
            with torch.no_grad():
                output = torch.empty_like(first) if copies == 1 else torch.cat([first] * copies, dim=1)
        self.bindings.share(output, values)
        return output


def _label(choice: Choice, i: int) -> str:
    return f"candidate {choice.candidates[i]!r}" if choice.candidates[i] else f"candidate {i}"
