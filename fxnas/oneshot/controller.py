"""The controller of ENAS (arXiv 1802.03268): an LSTM that decides one choice after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.nn.utils import skip_init

from fxnas.choice import Choice
from fxnas.oneshot import distribution
from fxnas.oneshot.candidates import candidate_rows
from fxnas.oneshot.distribution import Decision
from fxnas.space import SearchSpace

INITIAL = 0.1  # parameters start between this and its negative
_Layer = TypeVar("_Layer", bound=nn.Module)
Choose = Callable[[Choice, Tensor], Decision]


class Sample(NamedTuple):
    """An architecture, and what the controller thinks of it.

    Attributes:
        decisions: of the choices that take part, in the order of the space.
        log_probability: of all decisions together; a scalar, differentiable.
        entropy: sum over the choices that take part, in nats; a scalar without gradients, as part of a reward.
        skip_penalty: see `Controller`; a scalar, differentiable.
    """

    decisions: dict[str, Decision]
    log_probability: Tensor
    entropy: Tensor
    skip_penalty: Tensor


class Controller(nn.Module):
    """A distribution over the architectures of a space, each choice given the decisions before it.

    Choices are decided in the order of the space, but a choice that doesn't always take part after those that it
    depends on; where it takes no part there is no step for it. A step of the LSTM reads the mean of the embeddings of
    what was chosen last, zeros after nothing was. Each candidate has an embedding of its own, told by its place and
    not by its name, and the logit c·tanh(vᵀ·tanh(W·h + U·e)), from the output h of the LSTM and its embedding e. The
    authors' code scores inputs like this, and layers by a row of a matrix for each.

    Where one is chosen that is a softmax, where k are, see `fxnas.oneshot.distribution`. An input that may be taken or
    left has the logits of these two, l and -l, so that it is taken with the probability sigmoid(2·l).

    The skip penalty is the Kullback-Leibler divergence of the probabilities to take inputs from `skip_target`: the sum
    over the inputs of a choice of any number of them, and the mean over these choices, as far as they take part.

    Args:
        space: the search space.
        generator: of the initial parameters, uniform in ±0.1.
        size: of embeddings and of the LSTM.
        tanh_constant: c, the largest logit.
        skip_target: how probable it should be that an input is taken, between 0 and 1.

    Attributes:
        embeddings: of all candidates, shape [candidates of all choices, size].
        rows: key → where its candidates stand in `embeddings`.
    """

    def __init__(
        self,
        space: SearchSpace,
        generator: torch.Generator,
        *,
        size: int = 64,
        tanh_constant: float = 1.5,
        skip_target: float = 0.4,
    ) -> None:
        super().__init__()
        self.space, self.tanh_constant, self.skip_target = space, tanh_constant, skip_target
        self.rows = candidate_rows(space)
        self.start = nn.Parameter(torch.empty(1, size))
        self.embeddings = nn.Parameter(torch.empty(sum(len(choice.candidates) for choice in space.values()), size))
        self.cell = _empty(nn.LSTMCell, size, size)
        self.of_output, self.of_embedding = (_empty(nn.Linear, size, size) for _ in range(2))
        self.score = _empty(nn.Linear, size, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INITIAL, INITIAL, generator=generator)

    def sample(self, generator: torch.Generator) -> Sample:
        """Draws an architecture.

        Args:
            generator: the source of randomness, on the CPU.
        """
        return self._walk(lambda choice, logits: distribution.sample(logits, choice.n_chosen, generator))

    def greedy(self) -> Sample:
        """The architecture of the most probable decision at each choice, given those before."""
        return self._walk(lambda choice, logits: distribution.most_probable(logits, choice.n_chosen))

    def log_probability(self, decisions: Mapping[str, Sequence[int]]) -> Tensor:
        """The logarithm of the probability of an architecture; a scalar, differentiable.

        Args:
            decisions: those of choices that take no part don't count.

        Raises:
            ArchitectureError: it is no architecture of the space.
        """
        canonical = self.space.canonical(decisions)
        return self._walk(lambda choice, logits: canonical[choice.key]).log_probability

    def logits(self, n_chosen: int | None, output: Tensor, keys: Tensor) -> Tensor:
        """The logits of candidates, for `fxnas.oneshot.distribution`; shape [candidates].

        Args:
            n_chosen: how many are chosen; None: any number.
            output: h, shape [1, size].
            keys: U·e of each candidate, shape [candidates, size].
        """
        scores = self.score(torch.tanh(self.of_output(output) + keys)).squeeze(1)
        return self.tanh_constant * (2 if n_chosen is None else 1) * torch.tanh(scores)

    def _walk(self, choose: Choose) -> Sample:
        walk = _Walk(self, choose)
        decisions = self.space.activity.resolve(walk)  # asks only for choices that take part
        zero = self.start.new_zeros(())
        return Sample(decisions, sum(walk.log_probabilities, zero), sum(walk.entropies, zero), _mean(walk.skips, zero))


class _Walk:
    """Decides the choices that it is asked for, one step of the LSTM for each."""

    def __init__(self, controller: Controller, choose: Choose) -> None:
        self.controller, self.choose = controller, choose
        self.keys = controller.of_embedding(controller.embeddings)
        self.read: Tensor = controller.start
        self.state: tuple[Tensor, Tensor] | None = None
        self.log_probabilities: list[Tensor] = []
        self.entropies: list[Tensor] = []
        self.skips: list[Tensor] = []

    def __call__(self, choice: Choice) -> Decision:
        output, memory = self.controller.cell(self.read, self.state)
        self.state = (output, memory)
        rows = self.controller.rows[choice.key]
        logits = self.controller.logits(choice.n_chosen, output, self.keys[rows.start : rows.stop])
        decision = self.choose(choice, logits)
        self._count(choice, logits, decision)
        chosen = self.controller.embeddings[[rows[i] for i in decision]]
        self.read = chosen.sum(0, keepdim=True) / max(len(decision), 1)
        return decision

    def _count(self, choice: Choice, logits: Tensor, decision: Decision) -> None:
        self.log_probabilities.append(distribution.log_probability(logits, choice.n_chosen, decision))
        self.entropies.append(distribution.entropy(logits.detach(), choice.n_chosen))
        if choice.kind == "input_choice" and choice.n_chosen is None:
            self.skips.append(_divergence(logits, self.controller.skip_target))


def _empty(kind: type[_Layer], inputs: int, outputs: int) -> _Layer:
    """A layer without bias, nothing drawn for its weights: the global generator stays as it is."""
    return skip_init(kind, inputs, outputs, bias=False)  # type: ignore[no-untyped-call, no-any-return]


def _divergence(logits: Tensor, target: float) -> Tensor:
    """Of independent coins from coins that show heads with the probability `target`, in nats."""
    p = torch.sigmoid(logits)
    heads, tails = logsigmoid(logits) - math.log(target), logsigmoid(-logits) - math.log1p(-target)
    return (p * heads + (1 - p) * tails).sum()


def _mean(values: list[Tensor], zero: Tensor) -> Tensor:
    return torch.stack(values).mean() if values else zero
