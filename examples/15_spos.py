"""SPOS under a limit of FLOPs: random paths are trained, then evolution looks for the best one that is allowed.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/15_spos.py
"""

import cifar
import torch

import fxnas
from fxnas.evaluators import accuracy
from fxnas.oneshot import Evolution, Limit, SposTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    graph = fxnas.trace(fxnas.zoo.Spos.small(), train.tensors[0][:2])
    flops = fxnas.costs.flops(graph)
    trainer = SposTrainer(
        graph,
        limit=Limit(flops, most=1.3 * flops(graph.space.default)),
        evolution=Evolution(population=6, parents=2, crossovers=2, mutations=2, generations=3),
        calibration=2,
        metric=accuracy,
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "spos")


if __name__ == "__main__":
    main()
