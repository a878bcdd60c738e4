"""FBNet on a MobileNet-like space: the loss is multiplied by the logarithm of the expected FLOPs.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/12_fbnet.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import FBNetTrainer, LogScaled

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    graph = fxnas.trace(fxnas.zoo.ProxylessNas.small(), train.tensors[0][:2])
    trainer = FBNetTrainer(
        graph,
        penalty=LogScaled(fxnas.costs.flops(graph), factor=0.05),
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "fbnet")


if __name__ == "__main__":
    main()
