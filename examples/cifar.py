"""What the one-shot examples share: small images, and what is done with what was found.

The images are real CIFAR-10 where the file is, else scikit-learn's digits in the same shape.
"""

import io
import itertools
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import fxnas
from fxnas.digits import load_digits
from fxnas.evaluators import TensorBatches, fit, measure
from fxnas.oneshot import OneShotTrainer

FOLDER = Path(os.environ.get("FXNAS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def load(train: int, valid: int) -> tuple[TensorDataset, TensorDataset]:
    """Two data sets of images [n, 3, 32, 32] (about -2 to 2) and labels [n]: to train on, and to compare on.

    The file is cifar10_small.npz in the folder that FXNAS_DATA names, by default `shared/data` beside the checkout; it
    holds JPEG files one after another, and reading it needs Pillow.
    """
    if (FOLDER / "cifar10_small.npz").is_file():
        with np.load(FOLDER / "cifar10_small.npz", allow_pickle=False) as arrays:
            labels = torch.tensor(arrays["train_labels"][: train + valid]).long()
            images = decoded(arrays["train_jpeg"], arrays["train_offsets"][: len(labels) + 1])
    else:
        digits, more, _ = load_digits()
        small = torch.cat([digits.images, more.images])[: train + valid].expand(-1, 3, -1, -1)
        images, labels = F.interpolate(small, size=(32, 32)), torch.cat([digits.labels, more.labels])[: train + valid]
    images = (images - 0.47) / 0.25
    return TensorDataset(images[:train], labels[:train]), TensorDataset(images[train:], labels[train:])


def finish(trainer: OneShotTrainer, train: TensorDataset, valid: TensorDataset, file: str) -> None:
    """Trains the supernet, takes the architecture, trains that a little further, measures it, and exports it."""
    trainer.train()
    architecture = trainer.export(file=f"{file}.json")
    print("found", architecture.to_json())
    child = fxnas.materialize(trainer.method.graph, architecture)
    fit(child, TensorBatches(*train.tensors, shuffle=True), epochs=1)
    print(f"accuracy {measure(child, TensorBatches(*valid.tensors)):.3f}")
    print(fxnas.exporters.export_onnx(child.eval(), valid.tensors[0][:2], f"{file}.onnx"))


def decoded(data: np.ndarray, offsets: np.ndarray) -> Tensor:
    """The images of JPEG files that lie one after another, 0 to 1."""
    from PIL import Image

    files = (data[start:end].tobytes() for start, end in itertools.pairwise(offsets))
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    return torch.tensor(pixels).permute(0, 3, 1, 2) / 255
