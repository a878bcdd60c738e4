"""The data and the network of the demo: scikit-learn's digits, and a small network with three choices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from fxnas.errors import FxnasError
from fxnas.nn import InputChoice, LayerChoice


@dataclass(frozen=True)
class Split:
    """Part of a data set.

    Attributes:
        images: [n, 1, 8, 8], 0 to 1.
        labels: [n], 0 to 9.
    """

    images: Tensor
    labels: Tensor


class DigitsNet(nn.Module):
    """Two convolutions with candidates and an optional skip connection; [n, 1, 8, 8] to scores [n, 10]."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        wide = 2 * width
        self.conv1 = LayerChoice(
            {
                "conv1x1": nn.Conv2d(1, width, 1),
                "conv3x3": nn.Conv2d(1, width, 3, padding=1),
                "conv5x5": nn.Conv2d(1, width, 5, padding=2),
            }
        )
        self.conv2 = LayerChoice(
            {
                "conv3x3": nn.Conv2d(width, wide, 3, padding=1),
                "conv5x5": nn.Conv2d(width, wide, 5, padding=2),
                "separable": nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, wide, 1)
                ),
            }
        )
        self.norm = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, wide, 1)
        self.skipcon = InputChoice(n_candidates=1)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(wide * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(self.norm(self.conv2(x)))
        x0 = self.skipcon([x])
        x = self.conv3(x)
        if x0 is not None:
            x += x0
        x = F.max_pool2d(F.relu(x), 2)
        out: Tensor = self.fc(self.dropout(torch.flatten(x, 1)))
        return out


def load_digits(seed: int = 0) -> tuple[Split, Split, Split]:
    """The 1,797 digits in a random order: 1,000 to train on, 350 to compare architectures on, 447 to test on.

    Raises:
        FxnasError: scikit-learn, which the images come with, is absent.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise FxnasError("the digits come with scikit-learn: pip install 'fxnas[demo]'") from error
    data = load()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, held_out, test = (Split(images[part], labels[part]) for part in torch.split(order, [1000, 350, 447]))
    return train, held_out, test


def datasets(seed: int = 0) -> tuple[TensorDataset, TensorDataset]:
    """The 1,000 digits to train on and the 350 to compare architectures on, as data sets; see `load_digits`."""
    train, held_out, _ = load_digits(seed)
    return TensorDataset(train.images, train.labels), TensorDataset(held_out.images, held_out.labels)
