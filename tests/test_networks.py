"""The network of an architecture: which ones are one network, and what stands beside what."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

import networkx
import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.strategies.networks import Networks, Part, labels, number


def candidates() -> dict[str, nn.Module]:
    deep = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    return {"conv": nn.Conv2d(4, 4, 3, padding=1), "deep": deep, "skip": nn.Identity()}


class Cell(nn.Module):
    """Three layers behind a stem; the second and the third take the stem's value or a layer's before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        for i in range(3):
            setattr(self, f"layer{i}", LayerChoice(candidates(), key=f"layer{i}"))
        self.input1 = InputChoice(n_candidates=2, n_chosen=1, key="input1")
        self.input2 = InputChoice(n_candidates=3, n_chosen=1, key="input2")

    def forward(self, x: Tensor) -> Tensor:
        nodes = [self.stem(x)]
        nodes.append(self.layer0(nodes[0]))
        nodes.append(self.layer1(self.input1(nodes[:2])))
        nodes.append(self.layer2(self.input2(nodes[:3])))
        return torch.cat(nodes[1:], dim=1).mean((2, 3))


@pytest.fixture(scope="module")
def graph() -> ChoiceGraph:
    return fxnas.trace(Cell(), torch.zeros(2, 3, 4, 4))


@pytest.fixture(scope="module")
def networks(graph: ChoiceGraph) -> Networks:
    wiring = graph.space.wiring
    assert wiring is not None
    return Networks(wiring, graph.space)


def drawn(parts: Sequence[Part]) -> networkx.DiGraph:
    net = networkx.DiGraph()
    for place, part in enumerate(parts):
        net.add_node(place, what=part.what)
        net.add_edges_from((source, place) for source in part.sources)
    return net


def made(layers: Sequence[str], inputs: Sequence[int]) -> dict[str, object]:
    return {f"layer{i}": name for i, name in enumerate(layers)} | {f"input{i + 1}": [n] for i, n in enumerate(inputs)}


def architecture(graph: ChoiceGraph, layers: Sequence[str], inputs: Sequence[int]) -> Architecture:
    return Architecture.from_json(made(layers, inputs), graph.space)


class TestNetworks:
    def test_parts_are_what_is_chosen_and_who_takes_whose_value(self, graph: ChoiceGraph, networks: Networks) -> None:
        parts = networks.parts(architecture(graph, ("conv", "deep", "conv"), (0, 2)))
        assert [part.sources for part in parts] == [(), (0,), (0,), (2,), (1, 2, 3)]
        assert parts[1].what == parts[3].what != parts[2].what
        assert networks.searched

    def test_equal_numbers_are_isomorphic_networks(self, graph: ChoiceGraph, networks: Networks) -> None:
        rng = random.Random(0)
        drawn_parts = [networks.parts(graph.space.sample(rng)) for _ in range(60)]
        same = networkx.algorithms.isomorphism.categorical_node_match("what", 0)
        pairs = [(a, b) for i, a in enumerate(drawn_parts) for b in drawn_parts[:i]]
        alike = [networkx.is_isomorphic(drawn(a), drawn(b), node_match=same) for a, b in pairs]
        assert any(alike)
        assert [number(a) == number(b) for a, b in pairs] == alike

    def test_layers_side_by_side_trade_places(self, graph: ChoiceGraph, networks: Networks) -> None:
        beside = {
            number(networks.parts(architecture(graph, names, (0, 0))))
            for names in permutations(("conv", "deep", "skip"))
        }
        behind = {
            number(networks.parts(architecture(graph, names, (1, 2))))
            for names in permutations(("conv", "deep", "skip"))
        }
        assert len(beside) == 1
        assert len(behind) == 6

    def test_a_fixed_topology_is_not_searched(self) -> None:
        class Chain(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one = LayerChoice([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())], key="one")
                self.two = LayerChoice([nn.Linear(4, 4), nn.Identity()], key="two")

            def forward(self, x: Tensor) -> Tensor:
                return self.two(self.one(x).relu())

        graph = fxnas.trace(Chain(), torch.zeros(2, 4))
        wiring = graph.space.wiring
        assert wiring is not None
        chain = Networks(wiring, graph.space)
        assert not chain.searched
        assert [part.sources for part in chain.parts(graph.space.default)] == [(), (0,), (1,), (2,)]


class TestLabels:
    def test_each_depth_sees_one_step_further(self) -> None:
        one = [Part(1, ()), Part(2, (0,)), Part(3, (1,)), Part(4, (2,))]
        other = [Part(9, ()), *one[1:]]
        depths = zip(labels(one, 4), labels(other, 4), strict=True)
        differs = [[a != b for a, b in zip(*pair, strict=True)] for pair in depths]
        assert differs == [
            [True, False, False, False],
            [True, True, False, False],
            [True, True, True, False],
            [True, True, True, True],
        ]

    def test_before_and_after_are_told_apart(self) -> None:
        forward = [Part(1, ()), Part(2, (0,)), Part(3, (1,))]
        backward = [Part(3, ()), Part(2, (0,)), Part(1, (1,))]
        assert sorted(labels(forward, 1)[0]) == sorted(labels(backward, 1)[0])
        assert not set(labels(forward, 2)[1]) & set(labels(backward, 2)[1])
