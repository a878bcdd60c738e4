"""DARTS on CIFAR-10: the cells of the paper, searched by one training of all of them, retrained and exported.

Small enough for a minute on a CPU, so that what it finds says little: the paper searches for 50 epochs with
`fxnas.zoo.Darts()`, 16 channels and 25,000 images. Run it with: python examples/10_darts.py
"""

import cifar
import torch

import fxnas
from fxnas.evaluators import TensorBatches, accuracy, fit, measure
from fxnas.oneshot import DartsTrainer

EPOCHS, IMAGES = 1, 128


def main() -> None:
    torch.manual_seed(0)
    train, valid = cifar.load(IMAGES, IMAGES)
    trainer = DartsTrainer(
        fxnas.zoo.Darts.small(),
        metrics=lambda output, target: {"accuracy": accuracy(output, target)},
        num_epochs=EPOCHS,
        dataset_train=train,
        dataset_valid=valid,
        batch_size=32,
    )
    trainer.train()
    architecture = trainer.export(file="darts.json")
    print("found", architecture.to_json())

    child = fxnas.materialize(trainer.method.graph, architecture)
    fit(child, TensorBatches(*train.tensors, shuffle=True), epochs=1)
    print(f"accuracy {measure(child, TensorBatches(*valid.tensors)):.3f}")
    print(fxnas.exporters.export_onnx(child.eval(), valid.tensors[0][:2], "darts.onnx"))


if __name__ == "__main__":
    main()
