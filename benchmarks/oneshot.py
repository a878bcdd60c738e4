"""What a step of a one-shot method costs, beside a supernet or a network that a person writes for it.

python benchmarks/oneshot.py

Both sides train copies of the same layers on the same batches, turn by turn in one process; on a CPU the time is that
of its one thread. Before that, outputs and what is trained are compared. Memory is the largest sum of what the step
holds at one time beyond what was there before it. "All gradients" is the supernet by hand that also computes those that
a step doesn't need, as the public code does. A sampled path is selected anew in each step.
"""

from __future__ import annotations

import copy
import random
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import fxnas
from benchmarks.interleaved import compare
from fxnas import zoo
from fxnas.oneshot import Darts, Gdas
from fxnas.oneshot.update import Update

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Weights = Mapping[str, Tensor]
Step = Callable[[], object]


# -- supernets as in the public code of DARTS


class MixedOp(nn.Module):
    """The weighted sum of the candidates of one choice."""

    def __init__(self, ops: fxnas.LayerChoice) -> None:
        super().__init__()
        self.key, self.ops = ops.key, nn.ModuleList(ops)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        return sum(w * op(x) for w, op in zip(weights[self.key], self.ops, strict=True))  # type: ignore[return-value]


class ChosenOp(nn.Module):
    """The candidate of one choice that an architecture takes; the weight of GDAS, where there is one, times it."""

    def __init__(self, ops: fxnas.LayerChoice, architecture: fxnas.Architecture) -> None:
        super().__init__()
        (self.chosen,) = architecture[ops.key]
        self.key, self.op = ops.key, ops[self.chosen]

    def forward(self, x: Tensor, weights: Weights | None) -> Tensor:
        out: Tensor = self.op(x)
        return out if weights is None else weights[self.key][self.chosen] * out


class CellsOf201(nn.Module):
    """The network of NAS-Bench-201, its edges made by `edge` out of their choices."""

    def __init__(self, model: zoo.NasBench201, edge: Callable[[fxnas.LayerChoice], nn.Module]) -> None:
        super().__init__()
        self.stem, self.last, self.classifier = model.stem, model.last, model.classifier
        self.body = nn.ModuleList(model.body)
        self.edges = nn.ModuleDict(
            {
                f"{i}_{source}_{node}": edge(cell.edges[f"edge{source}_{node}"])
                for i, cell in enumerate(model.body)
                if hasattr(cell, "edges")
                for node in range(1, 4)
                for source in range(node)
            }
        )

    def forward(self, x: Tensor, weights: Weights | None = None) -> Tensor:
        x = self.stem(x)
        for i, cell in enumerate(self.body):
            x = self._cell(i, x, weights) if hasattr(cell, "edges") else cell(x)
        return self.classifier(self.last(x))

    def _cell(self, i: int, x: Tensor, weights: Weights | None) -> Tensor:
        nodes = [x]
        for node in range(1, 4):
            edges = [self.edges[f"{i}_{source}_{node}"](value, weights) for source, value in enumerate(nodes)]
            nodes.append(sum(edges[1:], edges[0]))
        return nodes[-1]


class CellsOfDarts(nn.Module):
    """The network of DARTS; each node is the sum of all its edges, or of those that an architecture keeps."""

    def __init__(
        self,
        model: zoo.Darts,
        edge: Callable[[fxnas.LayerChoice], nn.Module],
        architecture: fxnas.Architecture | None = None,
    ) -> None:
        super().__init__()
        self.stem, self.classifier = model.stem, model.classifier
        self.cells = nn.ModuleList()
        for cell in model.cells:
            plain = nn.Module()
            plain.before, plain.last = cell.before, cell.last
            kept = [range(len(n.edges)) if architecture is None else architecture[n.inputs.key] for n in cell.nodes]
            plain.kept = [list(indices) for indices in kept]
            plain.nodes = nn.ModuleList(
                nn.ModuleList(edge(node.edges[i]) for i in indices)
                for node, indices in zip(cell.nodes, kept, strict=True)
            )
            self.cells.append(plain)

    def forward(self, x: Tensor, weights: Weights | None = None) -> Tensor:
        before = last = self.stem(x)
        for cell in self.cells:
            states = [cell.before(before), cell.last(last)]
            for edges, kept in zip(cell.nodes, cell.kept, strict=True):
                states.append(sum(edge(states[i], weights) for i, edge in zip(kept, edges, strict=True)))  # type: ignore[arg-type]
            before, last = last, torch.cat(states[2:], dim=1)
        return self.classifier(last)


def by_hand(model: nn.Module, architecture: fxnas.Architecture | None = None) -> nn.Module:
    """The supernet of a model of the zoo, or the network of one architecture, with the layers of the model."""

    def edge(choice: fxnas.LayerChoice) -> nn.Module:
        return MixedOp(choice) if architecture is None else ChosenOp(choice, architecture)

    if isinstance(model, zoo.Darts):
        return CellsOfDarts(model, edge, architecture)
    assert isinstance(model, zoo.NasBench201)
    return CellsOf201(model, edge)


class DartsByHand:
    """The two steps of DARTS' first order, on a supernet by hand.

    Args:
        supernet: called with images and weights.
        alphas: logits.
        naive: whether each step computes all gradients, as the public code does; else those that it needs.
    """

    def __init__(self, supernet: nn.Module, alphas: Mapping[str, Tensor], *, naive: bool = False) -> None:
        self.supernet, self.naive = supernet, naive
        self.alphas = {key: nn.Parameter(alpha.detach().clone()) for key, alpha in alphas.items()}
        self.parameters = list(supernet.parameters())
        self.optimizer = torch.optim.SGD(self.parameters, 0.025, momentum=0.9, weight_decay=3e-4)
        self.architecture = torch.optim.Adam(self.alphas.values(), 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        weights = {key: torch.softmax(alpha, 0) for key, alpha in self.alphas.items()}
        return nn.functional.cross_entropy(self.supernet(images, weights), labels)

    def step(self, batch: tuple[Tensor, Tensor], valid_batch: tuple[Tensor, Tensor]) -> None:
        self.architecture_step(valid_batch)
        self.weight_step(batch)

    def architecture_step(self, batch: tuple[Tensor, Tensor]) -> None:
        with self._without(self.parameters):
            self.architecture.zero_grad()
            self.loss(*batch).backward()
            self.architecture.step()

    def weight_step(self, batch: tuple[Tensor, Tensor]) -> None:
        with self._without(list(self.alphas.values())):
            self.optimizer.zero_grad()
            self.loss(*batch).backward()
            nn.utils.clip_grad_norm_(self.parameters, 5.0)
            self.optimizer.step()

    @contextmanager
    def _without(self, parameters: Sequence[Tensor]) -> Iterator[None]:
        for parameter in () if self.naive else parameters:
            parameter.requires_grad_(False)
        yield
        for parameter in () if self.naive else parameters:
            parameter.requires_grad_(True)


# -- memory


class LiveBytes(TorchDispatchMode):
    """Counts what the operations within make: the bytes of storages, from their first tensor to their last.

    Attributes:
        peak: the largest sum at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in given:
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: Any) -> None:
        if storage not in self._known:
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, count: int) -> None:
        self.live -= count


def peak_bytes(step: Step) -> int:
    """The largest sum of bytes that a step holds beyond what was there before it."""
    step()  # the optimizer's state
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with LiveBytes() as counted:
        step()
    return counted.peak


# -- what is compared

Batch = tuple[Tensor, Tensor]


def batch_of(size: int, count: int) -> Batch:
    generator = torch.Generator().manual_seed(size)
    images = torch.randn(count, 3, size, size, generator=generator)
    return images.to(DEVICE), torch.randint(10, (count,), generator=generator).to(DEVICE)


def pair(model: nn.Module, images: Tensor) -> tuple[fxnas.ChoiceGraph, nn.Module]:
    """A traced graph, and a model of the same weights to build by hand from."""
    model.to(DEVICE)
    return fxnas.trace(model, images).train(), copy.deepcopy(model).train()


def report(name: str, ours: Step, theirs: Step, goal: str, turns: int, *, memory: bool = True) -> None:
    clock = time.thread_time if DEVICE.type == "cpu" else time.perf_counter
    sides = synchronized(ours), synchronized(theirs)
    print(compare(f"{name}, time", *sides, turns=turns, goal=goal, clock=clock), flush=True)
    if memory:
        one, other = peak_bytes(ours), peak_bytes(theirs)
        print(f"{f'{name}, memory':<58} {one / other:6.3f}   {one / 2**20:9.2f} MiB/ {other / 2**20:9.2f} MiB   {goal}")


def synchronized(step: Step) -> Step:
    """The step, with the wait for its end."""
    if DEVICE.type == "cpu":
        return step

    def waited() -> None:
        step()
        torch.cuda.synchronize()

    return waited


def relaxed_steps(name: str, model: nn.Module, size: int, count: int, turns: int) -> None:
    """A step of DARTS through the relaxed graph; and what it saves by computing no gradient that it doesn't need."""
    batch, valid_batch = batch_of(size, count), batch_of(size + 1, count)
    valid_batch = (valid_batch[0][..., :size, :size], valid_batch[1])
    graph, other = pair(model, batch[0])
    method = Darts(graph, architecture_optimizer=lambda p: torch.optim.Adam(p, 3e-4, (0.5, 0.999), weight_decay=1e-3))
    hand = DartsByHand(by_hand(other), method.alphas)
    check_alike(method, hand, batch, valid_batch)
    naive = DartsByHand(by_hand(copy.deepcopy(other)), method.alphas, naive=True)

    def weight_step() -> None:
        with torch.no_grad():
            method.relaxed.mix(method.probabilities())
        method.weights(method.mixed_loss(batch))

    def architecture_step() -> None:
        method.architecture_step(batch, valid_batch)

    what = f"{name} {count}×3×{size}×{size}: DARTS"
    report(f"{what}, α", architecture_step, lambda: hand.architecture_step(valid_batch), "goal ≤ 1.0", turns)
    report(f"{what}, weights", weight_step, lambda: hand.weight_step(batch), "goal ≤ 1.0", turns)
    every = "/ all gradients"
    report(f"{what}, α {every}", architecture_step, lambda: naive.architecture_step(valid_batch), "", turns)
    report(f"{what}, weights {every}", weight_step, lambda: naive.weight_step(batch), "", turns)


def check_alike(method: Darts, hand: DartsByHand, batch: Batch, valid_batch: Batch) -> None:
    """The same loss and, after three steps, the same weights and α."""
    for _ in range(3):
        method.step(batch, valid_batch)
        hand.step(batch, valid_batch)
    method.relaxed.mix(method.probabilities())
    torch.testing.assert_close(method.mixed_loss(batch), hand.loss(*batch), rtol=1e-4, atol=1e-5)
    for key, alpha in method.alphas.items():
        torch.testing.assert_close(alpha, hand.alphas[key], rtol=1e-3, atol=1e-4)


def sampled_steps(name: str, model: nn.Module, size: int, count: int, turns: int, architectures: int = 3) -> None:
    """The training step of a sampled architecture beside that of its network, for some architectures."""
    batch = batch_of(size, count)
    graph, other = pair(model, batch[0])
    rng = random.Random(0)
    for i in range(architectures):
        architecture = graph.space.sample(rng)
        update = Update(graph.parameters(), sgd)
        hand, theirs = plain_step(by_hand(copy.deepcopy(other), architecture), batch)

        def ours(architecture: fxnas.Architecture = architecture, update: Update = update) -> None:
            update(nn.functional.cross_entropy(graph.select(architecture)(batch[0]), batch[1]))

        if not i:
            assert torch.equal(graph.select(architecture)(batch[0]), hand(batch[0]))
        what = f"{name} {count}×3×{size}×{size}: sampled path {i}"
        report(what, ours, theirs, "goal ≤ 1.03", turns, memory=not i)


def gdas_steps(name: str, model: nn.Module, size: int, count: int, turns: int, draws: int = 3) -> None:
    """A step of GDAS, of weights and α, beside the same by hand; the draws of a measurement repeat."""
    batch = batch_of(size, count)
    graph, other = pair(model, batch[0])
    for i in range(draws):
        method = Gdas(graph, seed=i, architecture_optimizer=lambda p: torch.optim.Adam(p, 0.0))
        state = method.generator.get_state()

        def ours(method: Gdas = method, state: Tensor = state) -> None:
            method.generator.set_state(state)
            method.step(batch, batch)

        hand = GdasByHand(copy.deepcopy(other), method, state)
        what = f"{name} {count}×3×{size}×{size}: GDAS, draw {i}"
        report(what, ours, lambda: hand.step(batch), "goal ≤ 1.03", turns, memory=not i)  # noqa: B023


class GdasByHand:
    """The step of GDAS on the two networks that a state of the generator draws."""

    def __init__(self, model: nn.Module, method: Gdas, state: Tensor) -> None:
        self.space, self.generator, self.state = method.space, torch.Generator(), state
        self.alphas = {key: nn.Parameter(alpha.detach().clone()) for key, alpha in method.alphas.items()}
        self.generator.set_state(state)
        self.first, self.second = (by_hand(model, self.space.canonical(self._draw()[0])) for _ in range(2))
        self.parameters = list(self.second.parameters())
        self.optimizer = sgd(list(self.first.parameters()))
        self.architecture = torch.optim.Adam(self.alphas.values(), 0.0)

    def step(self, batch: Batch) -> None:
        self.generator.set_state(self.state)
        self._draw()
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.first(batch[0]), batch[1]).backward()
        nn.utils.clip_grad_norm_(self.first.parameters(), 5.0)
        self.optimizer.step()
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        _, weights = self._draw()
        self.architecture.zero_grad()
        nn.functional.cross_entropy(self.second(batch[0], weights), batch[1]).backward()
        self.architecture.step()
        for parameter in self.parameters:
            parameter.requires_grad_(True)

    def _draw(self) -> tuple[dict[str, tuple[int, ...]], dict[str, Tensor]]:
        decisions, weights = {}, {}
        for key, alpha in self.alphas.items():
            noise = -torch.empty(len(alpha), dtype=torch.double).exponential_(generator=self.generator).log()
            soft = torch.softmax((alpha + noise.to(alpha)) / 10.0, 0)
            chosen = int(soft.argmax())
            hard = torch.zeros_like(soft).index_fill_(0, torch.tensor([chosen], device=soft.device), 1.0)
            decisions[key], weights[key] = (chosen,), hard - soft.detach() + soft
        return decisions, weights


def sgd(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """With no rate: the same weights in every turn."""
    return torch.optim.SGD(parameters, 0.0, momentum=0.9, weight_decay=3e-4)


def plain_step(network: nn.Module, batch: Batch) -> tuple[nn.Module, Step]:
    """The training step of an ordinary network."""
    optimizer = sgd(list(network.parameters()))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()
        optimizer.step()

    return network, step


def main() -> None:
    torch.set_num_threads(1)
    relaxed_steps("NAS-Bench-201", zoo.NasBench201.small(), 8, 4, 60)
    relaxed_steps("NAS-Bench-201", zoo.NasBench201(channels=8, cells=1, affine=False), 32, 16, 20)
    relaxed_steps("DARTS", zoo.Darts.small(), 8, 4, 60)
    relaxed_steps("DARTS", zoo.Darts(channels=8, cells=3), 16, 8, 20)
    sampled_steps("NAS-Bench-201", zoo.NasBench201.small(), 8, 4, 60)
    sampled_steps("NAS-Bench-201", zoo.NasBench201(channels=16, cells=1, affine=False), 32, 16, 20)
    sampled_steps("DARTS", zoo.Darts(channels=8, cells=3), 32, 8, 20)
    gdas_steps("NAS-Bench-201", zoo.NasBench201.small(), 8, 4, 60)
    gdas_steps("NAS-Bench-201", zoo.NasBench201(channels=16, cells=1, affine=False), 32, 16, 20)


if __name__ == "__main__":
    main()
