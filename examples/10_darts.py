"""DARTS on CIFAR-10: the cells of the paper, searched by one training of all of them, retrained and exported.

Small enough for a CPU, so that what it finds says little. The paper searches for 50 epochs with `fxnas.zoo.Darts()`,
16 channels and 25,000 images. Run it with: python examples/10_darts.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import DartsTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = DartsTrainer(
        fxnas.zoo.Darts.small(), num_epochs=1, dataset_train=train, dataset_valid=valid, batch_size=32
    )
    cifar.finish(trainer, train, valid, "darts")


if __name__ == "__main__":
    main()
