"""Path dropout on the network of NAS-Bench-Macro: all paths are trained together, then random ones are ranked.

Small enough for a CPU, so that what it finds says little. Run it with: python examples/16_path_dropout.py
"""

import cifar
import torch

import fxnas
from fxnas.evaluators import accuracy
from fxnas.oneshot import PathDropoutTrainer

IMAGES = 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = PathDropoutTrainer(
        fxnas.zoo.NasBenchMacro.small(),
        rate=0.2,
        samples=10,
        calibration=2,
        metric=accuracy,
        num_epochs=2,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    cifar.finish(trainer, train, valid, "path_dropout")


if __name__ == "__main__":
    main()
