"""ProxylessNAS for this machine: two paths run at a time, and the latency of each operation was measured here.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/13_proxyless.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import Added, ProxylessNasTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    graph = fxnas.trace(fxnas.zoo.ProxylessNas.small(), train.tensors[0][:2])
    latency = fxnas.costs.latency(graph)
    trainer = ProxylessNasTrainer(
        graph,
        penalty=Added(latency, weight=0.1),  # 0.1 of the loss for each millisecond
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "proxyless")


if __name__ == "__main__":
    main()
