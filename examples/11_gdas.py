"""GDAS on the cells of NAS-Bench-201: one candidate of each edge runs, and its gradient teaches all of them.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/11_gdas.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import GdasTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = GdasTrainer(
        fxnas.zoo.NasBench201.small(), num_epochs=2, dataset_train=train, dataset_valid=valid, batch_size=32
    )
    cifar.finish(trainer, train, valid, "gdas")


if __name__ == "__main__":
    main()
