"""ENAS on its macro space: a controller draws the networks that are trained, and learns from their accuracy.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/14_enas.py
"""

import cifar
import torch

import fxnas
from fxnas.oneshot import EnasTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = EnasTrainer(
        fxnas.zoo.EnasMacro.small(),
        reward_function=lambda output, target: (output.argmax(1) == target).float().mean().item(),
        controller_steps=5,
        aggregate=4,
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "enas")


if __name__ == "__main__":
    main()
