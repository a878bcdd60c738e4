"""How well one-shot methods rank and choose on NAS-Bench-201, beside what the benchmark measured.

python benchmarks/supernets.py --methods Darts Spos --epochs 10 --channels 16 --size 32

Each method trains a small supernet of the space on CIFAR-10 images. Then

- random architectures are scored with its weights: accuracy on images that played no part in the search, after
  BatchNorm statistics are recomputed; Kendall's τ-b and Spearman's ρ compare the scores with the test accuracy after
  200 epochs of training alone, and the number of parameters is compared likewise;
- the accuracy after 200 epochs of the architecture that the method decides for stands beside random choice.

The defaults take a few minutes on an idle core. That is far from what papers train, so a bad rank here says little
against a method; one seed says little at all. Paths without convolutions learn first: ranks begin reversed. Seen for
Spos on 4,000 images of 16×16, 8 channels, a cell a stage: τ -0.37 after 1,510 steps, -0.15 after 3,584, 0.05 after
4,894.

Not a part of `make bench`, which measures costs: this measures searches, takes minutes, and needs the data of the
folder FXNAS_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FXNAS_DATA", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 (after the path)
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

import fxnas  # noqa: E402
from fxnas import costs, oneshot, zoo  # noqa: E402
from fxnas.oneshot.recalibrate import Recalibration  # noqa: E402

# What differs from the defaults is the number of architectures that are compared at the end: a small search.
METHODS: dict[str, tuple[type[oneshot.OneShotTrainer], dict[str, Any]]] = {
    "Darts": (oneshot.DartsTrainer, {}),
    "UnrolledDarts": (oneshot.UnrolledDartsTrainer, {}),
    "Gdas": (oneshot.GdasTrainer, {}),
    "FBNet": (oneshot.FBNetTrainer, {}),
    "ProxylessNas": (oneshot.ProxylessNasTrainer, {}),
    "Enas": (oneshot.EnasTrainer, {"controller_steps": 10, "aggregate": 5}),
    "Spos": (oneshot.SposTrainer, {"calibration": 4, "evolution": oneshot.Evolution(20, 5, 10, 10, generations=3)}),
    "PathDropout": (oneshot.PathDropoutTrainer, {"calibration": 4, "samples": 50}),
    "Smash": (oneshot.SmashTrainer, {"samples": 40, "perturbations": 10}),
}
MEAN, DEVIATION = (0.491, 0.482, 0.446), (0.247, 0.243, 0.262)  # of CIFAR-10's training pixels


@dataclass(frozen=True)
class Data:
    """Images [N, 3, H, W] of unit variance and labels, for the weights, the architecture, and the scores."""

    train: TensorDataset
    valid: TensorDataset
    held_out: TensorDataset


def load(count: int, size: int, device: torch.device) -> Data:
    """`count` training images, half of them to learn the architecture from, and half as many others for the scores."""
    reader = _reader()

    def prepared(split: str, number: int) -> tuple[Tensor, Tensor]:
        images, labels = reader.images("cifar10_small", split, number, root=DATA)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        pixels = nn.functional.adaptive_avg_pool2d(pixels, size)
        pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
        return pixels.to(device), torch.from_numpy(labels).long().to(device)

    (images, labels), held_out = prepared("train", count), prepared("test", count // 2)
    half = count // 2
    return Data(
        TensorDataset(images[:half], labels[:half]),
        TensorDataset(images[half:], labels[half:]),
        TensorDataset(*held_out),
    )


def table() -> np.ndarray[Any, Any]:
    """CIFAR-10 test accuracy after 200 epochs, percent, shape [5, 5, 5, 5, 5, 5]."""
    return np.asarray(_reader().arrays("nb201_200ep.npz", root=DATA)["cifar10_test"], dtype=np.float64)


def _reader() -> Any:
    spec = importlib.util.spec_from_file_location("fxnas_benchmark_tables", DATA / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- one method


@dataclass(frozen=True)
class Outcome:
    """What a method reached: rank correlations, the mean score, its choice, and seconds of training and deciding."""

    kendall: float
    spearman: float
    score: float
    chosen: fxnas.Architecture
    seconds: float


def trained(name: str, data: Data, options: argparse.Namespace, seed: int, device: torch.device) -> Any:
    """The trainer of a method, its training done."""
    trainer_type, settings = METHODS[name]
    torch.manual_seed(seed)
    model = zoo.NasBench201(channels=options.channels, cells=options.cells, affine=False).to(device)
    trainer = trainer_type(
        model,
        num_epochs=options.epochs,
        dataset_train=data.train,
        dataset_valid=data.valid,
        batch_size=options.batch,
        seed=seed,
        progress=False,
        **settings,
    )
    trainer.train()
    return trainer


def scores(method: oneshot.OneShotMethod, architectures: Sequence[fxnas.Architecture], data: Data) -> list[float]:
    """The accuracy of each architecture with the weights of the supernet, in percent."""
    images, labels = data.train.tensors
    calibration = [(part, None) for part in images.split(128)[:4]]
    recalibration = Recalibration(method.graph.module)
    found = []
    with method.evaluating():
        for architecture in architectures:
            if isinstance(method, oneshot.Smash):
                method.inherit(architecture)
            module = method.graph.select(architecture).module
            recalibration.compute(lambda batch: module(batch[0]), calibration)  # noqa: B023 (called at once)
            images, labels = data.held_out.tensors
            predicted = torch.cat([module(part).argmax(1) for part in images.split(250)])
            found.append(100 * float((predicted == labels).float().mean()))
    recalibration.restore()
    return found


def measured(
    name: str, data: Data, options: argparse.Namespace, seed: int, truth: np.ndarray[Any, Any], device: torch.device
) -> Outcome:
    """Trains, decides, and scores random architectures, the same for each method."""
    start = time.perf_counter()
    trainer = trained(name, data, options, seed, device)
    chosen = trainer.export()
    seconds = time.perf_counter() - start
    rng = random.Random(seed)
    drawn = [trainer.method.space.sample(rng) for _ in range(options.architectures)]
    found = scores(trainer.method, drawn, data)
    real = [accuracy(truth, architecture) for architecture in drawn]
    return Outcome(kendall(found, real), spearman(found, real), float(np.mean(found)), chosen, seconds)


def accuracy(truth: np.ndarray[Any, Any], architecture: fxnas.Architecture) -> float:
    """What the table says: its axes are the edges in the order of the space."""
    return float(truth[tuple(decision[0] for decision in architecture.values())])


# -- statistics


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's τ-b; 0 where all values of a side are equal."""
    a, b = (np.sign(np.subtract.outer(values, values)) for values in (one, other))
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale else 0.0


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's ρ, equal values at their mean rank; 0 where all values of a side are equal."""
    a, b = (np.sign(np.subtract.outer(values, values)).sum(1) for values in (one, other))  # twice the centered ranks
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale else 0.0


def best_of(values: np.ndarray[Any, Any], count: int) -> float:
    """The expected largest of `count` draws with repeats."""
    ordered = np.sort(values.ravel())
    below = (np.arange(ordered.size + 1) / ordered.size) ** count
    return float((ordered * np.diff(below)).sum())


# -- the table


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    truth, data = table(), load(options.images, options.size, device)
    print(f"{vars(options)} on {device}")
    print(f"best of the table {truth.max():.2f} %; random choice: {best_of(truth, 1):.2f} %, "
          f"the best of 10 by the table itself: {best_of(truth, 10):.2f} %")  # fmt: skip
    print(by_parameters(options, truth))
    header = f"{'method':<14} {'seed':>4} {'τ':>6} {'ρ':>6} {'supernet %':>10} {'chosen %':>9} {'better than':>11}"
    print(f"{header} {'seconds':>8}  architecture")
    for name in options.methods:
        for seed in range(options.seeds):
            found = measured(name, data, options, seed, truth, device)
            value = accuracy(truth, found.chosen)
            names = "|".join(found.chosen.choices[key].candidates[d[0]] for key, d in found.chosen.items())
            ranks = f"{found.kendall:6.2f} {found.spearman:6.2f} {found.score:10.1f}"
            choice = f"{value:9.2f} {100 * float((truth < value).mean()):9.1f} % {found.seconds:8.0f}  {names}"
            print(f"{name:<14} {seed:>4} {ranks} {choice}", flush=True)


def by_parameters(options: argparse.Namespace, truth: np.ndarray[Any, Any]) -> str:
    """What a rank without any training reaches, on the architectures of the first seed."""
    graph = fxnas.trace(zoo.NasBench201.small(), torch.zeros(2, 3, 16, 16))
    cost, rng = costs.params(graph), random.Random(0)
    drawn = [graph.space.sample(rng) for _ in range(options.architectures)]
    real = [accuracy(truth, architecture) for architecture in drawn]
    counted = [float(cost(architecture)) for architecture in drawn]
    return f"by the number of parameters: τ {kendall(counted, real):.2f}, ρ {spearman(counted, real):.2f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=2000, help="half for the weights, half for the architecture")
    parser.add_argument("--size", type=int, default=16, help="height and width that images are reduced to")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1, help="in each stage")
    parser.add_argument("--threads", type=int, default=1, help="of torch; more pay only on idle cores")
    parser.add_argument("--architectures", type=int, default=50, help="scored for the rank correlation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
