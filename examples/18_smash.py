"""SMASH: a HyperNet gives every network that is sampled the weights of its convolutions.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/18_smash.py
"""

import cifar
import torch

import fxnas
from fxnas.evaluators import accuracy
from fxnas.oneshot import SmashTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = SmashTrainer(
        fxnas.zoo.NasBench201.small(),
        samples=10,
        perturbations=4,
        metric=accuracy,
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "smash")


if __name__ == "__main__":
    main()
