"""What a choice does with its inputs and outputs, shared by the choices and their fixed forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from fxnas.ops import Reduction, mask, reduce_outputs


def reduced(
    outputs: Sequence[Any],
    reduction: Reduction,
    *,
    masked: tuple[Sequence[int], int] | None = None,
    inputs: object = (),
) -> Any:
    """The outputs of what was chosen as one value, with its mask where that is asked for.

    Args:
        outputs: outputs of the chosen candidates, in candidate order.
        reduction: as in `reduce_outputs`.
        masked: the chosen indices and the number of candidates; None returns no mask.
        inputs: where to look for a tensor, whose device the mask takes, if the outputs hold none.

    Returns:
        The reduced output, or with `masked` the pair of it and a bool vector over the candidates.
    """
    output = reduce_outputs(outputs, reduction)
    if masked is None:
        return output
    tensor = next(_tensors((outputs, inputs)), None)
    return output, mask(*masked, None if tensor is None else tensor.device)


def ordered_inputs(inputs: object, sources: Sequence[str], owner: str) -> Sequence[Any]:
    """The inputs of an input choice in the order of its sources.

    Args:
        inputs: a list or tuple in that order, or a dict keyed by the sources.
        sources: the source names.
        owner: what to call the choice in messages.

    Raises:
        TypeError: the inputs are neither.
        ValueError: their number or names don't agree with the sources.
    """
    if isinstance(inputs, Mapping):
        return _by_name(inputs, sources, owner)
    if not isinstance(inputs, list | tuple):
        raise TypeError(f"{owner} takes one list, tuple or dict of inputs, not a {type(inputs).__name__}")
    if len(inputs) != len(sources):
        raise ValueError(f"{owner} takes {len(sources)} inputs, got {len(inputs)}")
    return inputs


def _by_name(inputs: Mapping[Any, Any], sources: Sequence[str], owner: str) -> list[Any]:
    if len(set(sources)) < len(sources):
        raise ValueError(f"{owner} has several sources of one name: give a list, not a dict")
    if inputs.keys() != set(sources):
        raise ValueError(f"{owner} takes a dict with exactly these names, got {list(inputs)}")
    return [inputs[name] for name in sources]


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
