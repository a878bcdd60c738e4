"""Handwritten digits for the examples: real MNIST where the file is, else scikit-learn's digits in the same shape."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fxnas.digits import load_digits

FOLDER = Path(os.environ.get("FXNAS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def load(train: int, test: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two pairs of images [n, 1, 28, 28] (0 to 1) and labels [n]: `train` of them to train on, `test` to test on.

    The file is mnist.npz in the folder that FXNAS_DATA names, by default `shared/data` beside the checkout, with the
    arrays train_images, train_labels, test_images and test_labels (uint8).
    """
    if (FOLDER / "mnist.npz").is_file():
        with np.load(FOLDER / "mnist.npz", allow_pickle=False) as arrays:
            pairs = [(arrays[f"{part}_images"][:n], arrays[f"{part}_labels"][:n]) for part, n in
                     (("train", train), ("test", test))]  # fmt: skip
        return tuple((torch.tensor(x)[:, None] / 255, torch.tensor(y).long()) for x, y in pairs)  # type: ignore[return-value]
    digits, _, held_back = load_digits()
    return (
        (F.interpolate(digits.images[:train], size=(28, 28), mode="bilinear"), digits.labels[:train]),
        (F.interpolate(held_back.images[:test], size=(28, 28), mode="bilinear"), held_back.labels[:test]),
    )
