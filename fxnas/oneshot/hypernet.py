"""A network whose output are the weights of another one, for the architecture that it is told (arXiv 1708.05344)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-12  # keeps the norm of a filter of zeros from dividing by zero


class HyperNet(nn.Module):
    """Weights of layers, from the encoding of an architecture.

    Two hidden layers, which all layers share, see the encoding beside an embedding of the layer. What they give mixes a
    few templates of the layer's weights, added to what its weights are for every architecture. Each filter is divided
    by its Euclidean norm, as in the paper, so that the scale of activations doesn't depend on the architecture.

    Args:
        shapes: name → shape of the weight, filters first.
        encoding: length of an encoding.
        generator: draws the first values.
        hidden: width of the hidden layers.
        embedding: length of a layer's embedding.
        templates: how many templates each weight has: each is as large as the weight.
    """

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        encoding: int,
        *,
        generator: torch.Generator,
        hidden: int = 64,
        embedding: int = 8,
        templates: int = 8,
    ) -> None:
        super().__init__()

        def drawn(*size: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(size, generator=generator) / math.sqrt(fan_in))

        self.places = {name: i for i, name in enumerate(shapes)}
        self.embeddings = drawn(len(shapes), embedding, fan_in=1)
        self.first = drawn(hidden, encoding + embedding, fan_in=encoding + embedding)
        self.second = drawn(hidden, hidden, fan_in=hidden)
        self.first_bias, self.second_bias = (nn.Parameter(torch.zeros(hidden)) for _ in range(2))
        self.mixing = nn.ParameterList(drawn(templates, hidden, fan_in=hidden) for _ in shapes)
        fans = [math.prod(shape[1:]) for shape in shapes.values()]
        self.common = nn.ParameterList(drawn(*s, fan_in=n) for s, n in zip(shapes.values(), fans, strict=True))
        self.templates = nn.ParameterList(
            drawn(templates, *s, fan_in=n * templates) for s, n in zip(shapes.values(), fans, strict=True)
        )

    def forward(self, encoding: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The weights of the named layers.

        Args:
            encoding: of the architecture, shape [encoding].
            names: the layers that it uses; the others cost nothing, and get no gradient.

        Returns:
            name → weight; the norm of each filter is 1.
        """
        places = [self.places[name] for name in names]
        given = torch.cat([encoding.expand(len(places), -1), self.embeddings[places]], 1)
        hidden = F.relu(F.linear(F.relu(F.linear(given, self.first, self.first_bias)), self.second, self.second_bias))
        return {name: self._weight(place, h) for name, place, h in zip(names, places, hidden, strict=True)}

    def _weight(self, place: int, hidden: Tensor) -> Tensor:
        weight = self.common[place] + torch.tensordot(self.mixing[place] @ hidden, self.templates[place], dims=1)
        norms = weight.flatten(1).norm(dim=1).clamp_min(TINY)
        normalized: Tensor = weight / norms.view(-1, *[1] * (weight.dim() - 1))
        return normalized
