"""`apply_fixed_architecture`: the fixed model computes what the eager model computed, bit for bit, and is one model."""

import copy
import io
import json
import pickle

import pytest
import torch
from torch import nn

import fxnas
from fxnas.errors import ArchitectureError, SearchSpaceError
from fxnas.fixed import FixedInputChoice, FixedLayerChoice
from fxnas.nn import InputChoice, LayerChoice, named_choices, space_of
from tests.example_nets import NETS, AliasNet, CellNet, GuideNet, architectures
from tests.test_select import MALFORMED


def run(model: nn.Module, x: torch.Tensor):
    """Output, gradients by identity of the parameter's values, and buffers, of one training step."""
    torch.manual_seed(1)
    x = x.clone().requires_grad_()
    model.zero_grad()
    output = model(x)
    output.square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return output, x.grad, gradients, list(model.buffers())


def assert_same(one, other) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("net", NETS)
def test_a_fixed_model_equals_the_eager_one_for_every_architecture(net):
    torch.manual_seed(0)
    original, x = net(), net.example()
    for architecture in list(architectures(original))[::3]:
        eager, fixed = copy.deepcopy(original), copy.deepcopy(original)
        fxnas.select(eager, architecture)
        assert fxnas.apply_fixed_architecture(fixed, architecture) is fixed
        output, dx, gradients, _ = run(eager, x)
        fixed_output, fixed_dx, fixed_gradients, _ = run(fixed, x)
        assert_same(output, fixed_output)
        assert_same(dx, fixed_dx)
        assert_same(gradients, fixed_gradients)
        assert_same(eager.eval()(x), fixed.eval()(x))  # running statistics as well
        assert named_choices(fixed) == {}
        assert space_of(fixed).size == 1


def test_the_chosen_candidate_takes_the_place_of_its_choice():
    model = GuideNet()
    chosen = model.conv1.conv5x5
    fxnas.apply_fixed_architecture(model, {"conv1": "conv5x5", "conv3": 0, "skipcon": []})
    assert model.conv1 is chosen
    assert isinstance(model.skipcon, FixedInputChoice)
    assert list(model.state_dict()) == [
        f"{layer}.{name}" for layer in ("conv1", "conv2", "conv3", "fc") for name in ("weight", "bias")
    ]


@pytest.mark.parametrize("form", ["path", "string path", "text", "Architecture"])
def test_the_guide_retrains_from_a_file(form, tmp_path):
    file = tmp_path / "final_architecture.json"
    architecture = {"conv1": "conv5x5", "conv3": 1, "skipcon": [True]}
    file.write_text(json.dumps(architecture))
    model = GuideNet()
    given = {
        "path": file,
        "string path": str(file),
        "text": json.dumps(architecture),
        "Architecture": fxnas.Architecture.from_json(architecture, space_of(model)),
    }[form]
    fxnas.apply_fixed_architecture(model, given)
    assert model.conv1.kernel_size == (5, 5)
    assert isinstance(model.conv3, nn.Sequential)


def identity(model: nn.Module) -> list[object]:
    """Everything that a refused architecture must leave alone."""
    objects = [(path, id(module), type(module)) for path, module in model.named_modules(remove_duplicate=False)]
    return [objects, repr(model), [(name, id(p)) for name, p in model.named_parameters()]]


@pytest.mark.parametrize(("architecture", "message"), MALFORMED)
def test_a_malformed_architecture_leaves_the_model_untouched(architecture, message):
    model = GuideNet()
    before, weights = identity(model), copy.deepcopy(model.state_dict())
    with pytest.raises(ArchitectureError, match=message):
        fxnas.apply_fixed_architecture(model, architecture)
    assert identity(model) == before
    assert_same(dict(model.state_dict()), dict(weights))


def test_contradicting_choices_leave_the_model_untouched():
    model = nn.Sequential(LayerChoice([nn.ReLU()], key="op"), InputChoice(2, key="op"))
    before = identity(model)
    with pytest.raises(SearchSpaceError, match="'op'"):
        fxnas.apply_fixed_architecture(model, {"op": 0})
    assert identity(model) == before


def test_not_strict_takes_defaults():
    model = fxnas.apply_fixed_architecture(GuideNet(), {"conv3": 1, "more": 0}, strict=False)
    assert model.conv1.kernel_size == (3, 3)
    assert isinstance(model.conv3, nn.Sequential)


# -- aliases


def test_every_name_of_a_choice_is_replaced():
    model = AliasNet()
    chosen, (stray,) = model.first.b, model.plain
    fxnas.apply_fixed_architecture(model, {"first": "b", "blocks.0.0": 1})
    assert model.first is model.again is model.tied["x"] is chosen
    assert model.blocks[0] is model.blocks[1]
    assert isinstance(model.blocks[0][0], nn.ReLU)
    assert model.plain == [stray]
    assert list(stray.state_dict()) == ["b.weight"]
    x = model.example()
    assert torch.equal(stray(x), chosen(x))


def test_a_candidate_of_two_choices_stays_one_module():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(LayerChoice([nn.ReLU(), shared]), LayerChoice([shared, nn.ReLU()]))
    fxnas.apply_fixed_architecture(model, {"0": 1, "1": 0})
    assert model[0] is model[1] is shared


def test_tied_parameters_stay_tied():
    model = nn.Sequential(LayerChoice([nn.Linear(3, 3), nn.Linear(3, 3)]), nn.Linear(3, 3))
    model[1].weight = model[0][1].weight
    fxnas.apply_fixed_architecture(model, {"0": 1})
    assert model[1].weight is model[0].weight
    assert len(list(model.parameters())) == 3


# -- nesting


def nested() -> nn.Module:
    inner = nn.Sequential(LayerChoice({"p": nn.Linear(2, 2), "q": nn.Tanh()}, key="inner"), nn.ReLU())
    return nn.ModuleDict({"net": LayerChoice({"x": nn.Linear(2, 2), "y": inner}, key="outer")})


def test_choices_inside_the_chosen_candidate_are_resolved():
    model = fxnas.apply_fixed_architecture(nested(), {"outer": "y", "inner": "p"})
    assert list(model.state_dict()) == ["net.0.weight", "net.0.bias"]
    assert [type(module) for module in model["net"]] == [nn.Linear, nn.ReLU]


def test_choices_inside_other_candidates_go_with_them():
    model = fxnas.apply_fixed_architecture(nested(), {"outer": "x"})
    assert isinstance(model["net"], nn.Linear)


def test_a_choice_that_is_a_candidate():
    model = nn.Sequential(LayerChoice([nn.ReLU(), LayerChoice([nn.Tanh(), nn.Linear(2, 2)])]))
    fxnas.apply_fixed_architecture(model, {"0": 1, "0.1": 1})
    assert isinstance(model[0], nn.Linear)


def test_a_model_that_is_itself_a_choice_is_returned_replaced():
    candidates = [nn.ReLU(), nn.Sequential(LayerChoice([nn.Tanh(), nn.ELU()], key="inner"))]
    fixed = fxnas.apply_fixed_architecture(LayerChoice(candidates), {"choice": 1, "inner": 1})
    assert fixed is candidates[1]
    assert isinstance(fixed[0], nn.ELU)


# -- choices that don't give one output


class Several(nn.Module):
    """Choices that take several candidates, return masks, or return lists."""

    def __init__(self, *names: str) -> None:
        super().__init__()

        def convs() -> dict[str, nn.Module]:
            return {name: nn.Linear(3, 3) for name in names}

        self.any = LayerChoice(convs(), "mean", n_chosen=None)
        self.two = LayerChoice(convs(), "concat", n_chosen=2)
        self.listed = LayerChoice(convs(), "none")
        self.masked = LayerChoice(convs(), return_mask=True)
        self.inputs = InputChoice(choose_from=["any", ""], return_mask=True)

    def forward(self, x):
        some = self.any(x)
        listed = sum(self.listed(x))
        masked, mask = self.masked(x)
        mixed, picked = self.inputs({"any": x if some is None else some, "": listed})
        return self.two(masked), mask, x if mixed is None else mixed, picked


ANY = [(), (1,), (0, 2, 3)]


@pytest.mark.parametrize("any_", ANY)
@pytest.mark.parametrize("inputs", [(), (1,), (0, 1)])
def test_several_outputs_masks_and_lists_stay_as_they_are(any_, inputs):
    torch.manual_seed(0)
    names = ["a", "forward", "fixed", "training"]
    eager, x = Several(*names), torch.randn(2, 3)
    fixed = copy.deepcopy(eager)
    architecture = {"any": any_, "two": (1, 3), "listed": (2,), "masked": (3,), "inputs": inputs}
    fxnas.select(eager, architecture)
    stray = fixed.masked
    fxnas.apply_fixed_architecture(fixed, architecture)
    assert_same(eager(x), fixed(x))
    assert fixed(x)[1].tolist() == [False, False, False, True]
    assert fixed.masked is stray
    assert isinstance(fixed.masked, FixedLayerChoice)
    for layer, chosen in (("any", any_), ("two", (1, 3)), ("listed", (2,)), ("masked", (3,))):
        assert list(getattr(fixed, layer)._modules) == [names[i] for i in chosen]
    assert_same(eager(x), pickle.loads(pickle.dumps(fixed.eval().train()))(x))


def test_fixed_forms_print_themselves():
    model = fxnas.apply_fixed_architecture(Several("a", "b", "c", "d"), {}, strict=False)
    assert "fixed=(0, 1) of 4, reduction='concat'" in repr(model.two)
    assert "fixed=(0, 1) of ['any', ''], reduction='sum'" in repr(model.inputs)


def test_a_fixed_input_choice_checks_its_inputs():
    model = fxnas.apply_fixed_architecture(InputChoice(2), {"choice": [1]})
    with pytest.raises(ValueError, match="takes 2 inputs, got 3"):
        model([1, 2, 3])


@pytest.mark.parametrize("base", [LayerChoice, InputChoice])
def test_a_choice_with_a_forward_of_its_own_is_refused(base):
    class Doubled(base):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(LayerChoice([nn.ReLU()]), Doubled([nn.ReLU()] if base is LayerChoice else 1))
    before = identity(model)
    with pytest.raises(ArchitectureError, match=r"'1' has a forward of its own \(Doubled\)"):
        fxnas.apply_fixed_architecture(model, {"0": 0, "1": [0]})
    assert identity(model) == before


def test_a_choice_that_only_builds_itself_may_be_a_subclass():
    class Activation(LayerChoice):
        def __init__(self):
            super().__init__([nn.ReLU(), nn.Tanh()])

    model = fxnas.apply_fixed_architecture(nn.Sequential(Activation()), {"0": 1})
    assert isinstance(model[0], nn.Tanh)


# -- the fixed model is one model


def fixed_guide_net() -> GuideNet:
    return fxnas.apply_fixed_architecture(GuideNet(), {"conv1": 1, "conv3": 1, "skipcon": [0]})


def test_flags_dtype_and_requires_grad_survive():
    model = GuideNet().double().eval()
    model.conv1.conv5x5.weight.requires_grad_(False)
    model.conv3[1].train()
    fxnas.apply_fixed_architecture(model, {"conv1": 1, "conv3": 1, "skipcon": []})
    assert not model.conv1.weight.requires_grad
    assert model.conv1.bias.requires_grad
    assert model.conv1.weight.dtype == torch.float64
    assert (model.training, model.conv1.training, model.conv3[1].training) == (False, False, True)


def test_it_deep_copies_saves_and_loads():
    model, x = fixed_guide_net().eval(), GuideNet.example()
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(model).state_dict(), buffer)
    buffer.seek(0)
    twin = fixed_guide_net().eval()
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(model(x), twin(x))
    assert torch.equal(model(x), pickle.loads(pickle.dumps(model))(x))


def fixed_several() -> Several:
    several = {"any": (0, 1), "two": (1, 3), "listed": (2,), "masked": (3,), "inputs": (1,)}
    return fxnas.apply_fixed_architecture(Several("a", "b", "c", "d"), several)


@pytest.mark.parametrize(("make", "x"), [(fixed_guide_net, GuideNet.example()), (fixed_several, torch.randn(2, 3))])
def test_it_exports(make, x):
    model = make().eval()
    program = torch.export.export(model, (x,))
    assert_same(program.module()(x), model(x))


def test_it_trains():
    model = fxnas.apply_fixed_architecture(CellNet(), space_of(CellNet()).default.to_json())
    x, optimizer = CellNet.example(), torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    for _ in range(5):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
