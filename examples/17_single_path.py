"""Single-Path NAS: kernels of 3, 5 and 7 are parts of one superkernel, which thresholds cut to size.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/17_single_path.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import LogAdded, SinglePathNasTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    graph = fxnas.trace(fxnas.zoo.ProxylessNas.small(), train.tensors[0][:2])
    trainer = SinglePathNasTrainer(
        graph,
        penalty=LogAdded(fxnas.costs.flops(graph), weight=0.1),
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "single_path")


if __name__ == "__main__":
    main()
