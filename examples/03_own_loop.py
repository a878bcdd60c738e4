"""A search loop of your own: train all paths at once by sampling one per batch, then search with the shared weights.

This is single-path one-shot search (arXiv:1904.00420) in a few lines; the library's part is `select` and the space.
Run it with: python examples/03_own_loop.py
"""

import random

import torch
from torch.nn import functional as F

import fxnas
from fxnas.digits import DigitsNet, load_digits
from fxnas.evaluators import TensorBatches, measure
from fxnas.strategies import RegularizedEvolution

torch.manual_seed(0)
rng = random.Random(0)
train, held_out, test = load_digits()

graph = fxnas.trace(DigitsNet(), train.images[:2])
space = graph.space
optimizer = torch.optim.Adam(graph.parameters(), lr=2e-3)

# 1. The supernet: each batch trains the path of one random architecture. Switching costs microseconds.
graph.train()
for epoch in range(10):
    for images, labels in TensorBatches(train.images, train.labels, size=32, shuffle=True):
        fxnas.select(graph, space.sample(rng))
        loss = F.cross_entropy(graph(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


# 2. The search: ask, evaluate with the shared weights, tell.
def score(architecture: fxnas.Architecture) -> float:
    fxnas.select(graph, architecture)
    graph.train()  # BatchNorm's statistics are those of all paths: let it see this one
    with torch.no_grad():
        for images, _ in TensorBatches(train.images, train.labels, size=50):
            graph(images)
    return measure(graph.module, TensorBatches(held_out.images, held_out.labels, size=350))


strategy = RegularizedEvolution(space, population=6, sample_size=3)
seen: dict[fxnas.Architecture, float] = {}
for _ in range(20):
    architecture = strategy.ask()
    if architecture not in seen:
        seen[architecture] = score(architecture)
    strategy.tell(architecture, seen[architecture])

# 3. The result.
best = max(seen, key=lambda architecture: seen[architecture])
print(f"{len(seen)} of {space.size} architectures scored; best {best.to_json()}: {seen[best]:.3f} on held-out digits")
score(best)
child = fxnas.materialize(graph, best).eval()
print(f"test accuracy with the shared weights {measure(child, TensorBatches(test.images, test.labels)):.3f}")
