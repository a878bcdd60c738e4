"""The rule by which two outputs count as the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fxnas.errors import ExportError
from fxnas.exporters.compare import difference, differences, same_bits, tolerance
from fxnas.exporters.inputs import read_inputs
from fxnas.exporters.outputs import tensor_leaves
from fxnas.exporters.running import run, run_in_float64
from tests.export_nets import Attention, Cnn, Tagger, ids, padding


def never() -> dict[str, Tensor]:
    raise AssertionError("the float64 reference is computed only where it is needed")


def compare(reference: Tensor, actual: Tensor, exact: Callable[[], dict[str, Tensor]] = never) -> None:
    differences({"y": reference}, {"y": actual}, exact)


@pytest.mark.parametrize(
    ("dtype", "eps"),
    [(torch.float32, 64), (torch.float64, 64), (torch.float16, 8), (torch.bfloat16, 8), (torch.complex64, 64)],
)
def test_the_tolerance_is_a_number_of_eps_of_the_largest_value(dtype: torch.dtype, eps: int) -> None:
    unit, factor = tolerance(dtype)
    assert (unit, factor) == (torch.finfo(dtype).eps, eps)
    reference = torch.tensor([4.0, 0.0], dtype=dtype)
    within, outside = (torch.tensor([4.0, 4 * k * unit], dtype=dtype) for k in (eps, 1.1 * eps))
    found = difference("y", reference, within)
    assert found.within and found.max_rel / found.eps == pytest.approx(eps)
    assert not difference("y", reference, outside).within


def test_whole_numbers_and_flags_are_equal_or_not() -> None:
    large = torch.tensor([2**60 + 1])
    compare(large, large.clone())
    with pytest.raises(ExportError, match="whole numbers must be equal"):
        compare(large, large - 1)
    with pytest.raises(ExportError, match="whole numbers must be equal"):
        compare(torch.tensor([True]), torch.tensor([False]))


def test_out_of_tolerance_float64_decides() -> None:
    truth = torch.tensor([1.0], dtype=torch.float64)
    eager, far, near = (torch.tensor([1 + delta]) for delta in (1e-3, 2.5e-3, -1e-3))
    compare(eager, near, lambda: {"y": truth})
    with pytest.raises(ExportError, match=r"its distance from float64 is 0\.0025, eager's own is 0\.001"):
        compare(eager, far, lambda: {"y": truth})


def test_without_a_float64_run_out_of_tolerance_is_out() -> None:
    def fails() -> dict[str, Tensor]:
        raise RuntimeError("no double")

    with pytest.raises(ExportError, match="no float64 run to judge by: no double"):
        compare(torch.tensor([1.0]), torch.tensor([1.1]), fails)


@pytest.mark.parametrize("make", [Cnn, Tagger, Attention])
def test_the_float64_run_is_close_to_the_real_one(make: Callable[[], nn.Module]) -> None:
    net = make().eval()
    example = {Cnn: torch.rand(2, 1, 6, 6), Tagger: ids(), Attention: (ids(), padding())}[make]
    inputs = read_inputs(net, example)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    outputs, truth = run(net, inputs, inputs.tensors), run_in_float64(net, inputs, inputs.tensors)
    for one, other in zip(tensor_leaves(outputs), tensor_leaves(truth), strict=True):
        assert other.dtype == torch.float64
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6)
    assert all(same_bits(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert tensor_leaves(run(net, inputs, inputs.tensors))[0].dtype == torch.float32


def test_a_reference_that_is_no_rounding_away_from_float64_judges_nothing() -> None:
    with pytest.raises(ExportError, match=r"eager itself is 0\.5 away from float64"):
        compare(torch.tensor([1.0]), torch.tensor([1.1]), lambda: {"y": torch.tensor([1.5], dtype=torch.float64)})


def test_zeros_say_nothing() -> None:
    zeros = torch.zeros(3)
    assert not difference("y", zeros, zeros).conclusive
    assert not difference("y", torch.full((3,), torch.nan), torch.full((3,), torch.nan)).conclusive
    assert difference("y", torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)).conclusive
    assert not difference("y", zeros, zeros + 1e-30).within


def test_infinities_and_nan_must_be_at_the_same_places() -> None:
    reference = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf])
    compare(reference, reference.clone())
    for other in ([1.0, 1.0, torch.inf, -torch.inf], [1.0, torch.nan, -torch.inf, -torch.inf], [torch.nan] * 4):
        with pytest.raises(ExportError, match="infinite or NaN at other places"):
            compare(reference, torch.tensor(other))


def test_shape_dtype_and_names_must_agree() -> None:
    with pytest.raises(ExportError, match=r"output 'y' is float32\[2\], eager's is float32\[1, 2\]"):
        compare(torch.rand(1, 2), torch.rand(2))
    with pytest.raises(ExportError, match=r"float64\[2\]"):
        compare(torch.rand(2), torch.rand(2).double())
    with pytest.raises(ExportError, match=r"the outputs are \['z'\]"):
        differences({"y": torch.rand(2)}, {"z": torch.rand(2)}, never)


def test_bits() -> None:
    nan = torch.tensor([torch.nan, 1.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.rand(2), torch.rand(2, 1))
    assert not same_bits(torch.zeros(2), torch.zeros(2).half())
    assert same_bits(torch.rand(2, 3).T, torch.rand(2, 3).T) is False
    view = torch.rand(2, 3)
    assert same_bits(view.T, view.T.contiguous())
    assert same_bits(torch.tensor([True, False]), torch.tensor([True, False]))
    assert same_bits(torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j]))
