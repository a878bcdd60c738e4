"""When two runs computed the same: bit for bit, or within the tolerance that a dtype allows.

The tolerance is relative to the largest value of an output: max|Δ| ≤ k·eps·max|reference| with k = 64, or 8 for the
16-bit dtypes. Where a network amplifies rounding beyond that, the float64 result decides: an output may be at most
twice as far from it as eager's own, if eager's own distance can be rounding. Element-wise relative errors mean nothing
near zero, so none are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fxnas.errors import ExportError
from fxnas.exporters.outputs import Outputs

_NARROW = (torch.float16, torch.bfloat16)
_ROUNDING = 0.01  # of the largest value, or √eps if that is more: what is further from float64 is no reference


@dataclass(frozen=True)
class Difference:
    """How far an output is from its reference.

    Attributes:
        name: the output.
        max_abs: max|Δ| over the finite elements.
        scale: max|reference| over the finite elements.
        eps: machine epsilon of the dtype, 0 for whole numbers and bools.
        allowed: the largest legal `max_abs`.
    """

    name: str
    max_abs: float
    scale: float
    eps: float
    allowed: float

    @property
    def max_rel(self) -> float:
        """max|Δ| / max|reference|; infinite where the reference is zero and the output isn't."""
        if self.max_abs == 0:
            return 0.0
        return self.max_abs / self.scale if self.scale else float("inf")

    @property
    def within(self) -> bool:
        """Whether the output is within tolerance."""
        return self.max_abs <= self.allowed

    @property
    def conclusive(self) -> bool:
        """Whether agreement says anything: a floating-point reference of zeros would agree with any dead network."""
        return self.eps == 0 or self.scale > 0

    def __str__(self) -> str:
        if not self.eps:
            return f"output {self.name!r} differs by {self.max_abs:g}, and whole numbers must be equal"
        units = f"{self.max_rel / self.eps:.1f} eps of max|reference| = {self.scale:.3g}"
        return f"output {self.name!r} is off by {self.max_abs:.3g} ({units}), allowed {self.allowed:.3g}"


def tolerance(dtype: torch.dtype) -> tuple[float, int]:
    """Machine epsilon of a dtype, and how many of them an output may be off; (0, 0) for whole numbers and bools."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return 0.0, 0
    return torch.finfo(dtype).eps, 8 if dtype in _NARROW else 64


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal bit for bit: NaN equals itself, and 0.0 differs from -0.0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    one, other = (t.detach().to("cpu").resolve_conj().resolve_neg().contiguous() for t in (one, other))
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def difference(name: str, reference: Tensor, actual: Tensor) -> Difference:
    """Measures how far `actual` is from `reference`.

    Raises:
        ExportError: they differ in dtype or shape, or in where they are infinite or NaN.
    """
    if (actual.dtype, actual.shape) != (reference.dtype, reference.shape):
        raise ExportError(f"output {name!r} is {describe(actual)}, eager's is {describe(reference)}")
    eps, factor = tolerance(reference.dtype)
    if not eps and torch.equal(reference.cpu(), actual.cpu()):  # whole numbers beyond 2**53 don't fit float64
        return Difference(name, 0.0, _largest(_wide(reference)), 0.0, 0.0)
    one, other = _wide(reference), _wide(actual)
    finite = one.isfinite()
    if not torch.equal(one.masked_fill(finite, 0).nan_to_num(3), other.masked_fill(finite, 0).nan_to_num(3)):
        raise ExportError(f"output {name!r} is infinite or NaN at other places than eager's")
    scale, delta = _largest(one[finite]), _largest(one[finite] - other[finite])
    return Difference(name, delta if eps else max(delta, 1.0), scale, eps, factor * eps * scale)


def differences(reference: Outputs, actual: Outputs, exact: Callable[[], Outputs]) -> list[Difference]:
    """Compares all outputs of a run.

    Args:
        reference: eager's outputs.
        actual: the outputs to judge, under the same names.
        exact: computes the float64 outputs; called only where an output is out of tolerance. May raise ExportError.

    Raises:
        ExportError: an output is missing, of another dtype or shape, or too far away.
    """
    if list(reference) != list(actual):
        raise ExportError(f"the outputs are {list(actual)}, eager's are {list(reference)}")
    found = [difference(name, reference[name], actual[name]) for name in reference]
    return [d if d.within else _judged(d, reference, actual, exact) for d in found]


def _judged(found: Difference, reference: Outputs, actual: Outputs, exact: Callable[[], Outputs]) -> Difference:
    if not found.eps:
        raise ExportError(str(found))
    try:
        truth = _wide(exact()[found.name])
    except Exception as error:
        raise ExportError(f"{found}; no float64 run to judge by: {error}") from error
    own = _distance(reference[found.name], truth)
    if own > max(_ROUNDING, found.eps**0.5) * found.scale:
        raise ExportError(f"{found}; eager itself is {own:.3g} away from float64, so that nothing tells which is right")
    distance = _distance(actual[found.name], truth)
    if not distance <= 2 * own:
        raise ExportError(f"{found}; its distance from float64 is {distance:.3g}, eager's own is {own:.3g}")
    return replace(found, allowed=max(found.allowed, found.max_abs))


def _distance(output: Tensor, truth: Tensor) -> float:
    if output.shape != truth.shape:
        return float("inf")
    wide = _wide(output)
    finite = wide.isfinite() & truth.isfinite()
    return _largest(wide[finite] - truth[finite])


def _wide(tensor: Tensor) -> Tensor:
    wide = tensor.detach().to("cpu")
    return torch.view_as_real(wide.to(torch.complex128).resolve_conj()) if wide.is_complex() else wide.to(torch.float64)


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def describe(tensor: Tensor) -> str:
    """A tensor's dtype and shape: "float32[2, 3]"."""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
