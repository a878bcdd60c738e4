"""Hardware-aware search: accuracy against the latency that each network has on this machine.

A strategy for several objectives looks for the whole front of trade-offs; the best ones are trained on and exported.
Run it with: python examples/07_hardware_aware.py
"""

import statistics
import time
from functools import cache

import mnist
import torch
from torch import Tensor, nn

import fxnas
from fxnas.evaluators import TensorBatches, fit, measure
from fxnas.strategies import Nsga2


def convolution(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def operations(key: str, width: int = 16) -> fxnas.LayerChoice:
    separable = nn.Sequential(convolution(width, width, 3, groups=width), convolution(width, width, 1))
    three, five = convolution(width, width, 3), convolution(width, width, 5)
    return fxnas.LayerChoice({"skip": nn.Identity(), "separable": separable, "conv3": three, "conv5": five}, key=key)


def graph() -> fxnas.ChoiceGraph:
    torch.set_num_threads(1)  # what is measured doesn't depend on what else the machine does
    layers = [convolution(1, 16, 3), nn.MaxPool2d(2), operations("block1"), nn.MaxPool2d(2), operations("block2")]
    layers += [operations("block3"), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)]
    return fxnas.trace(nn.Sequential(*layers), torch.zeros(2, 1, 28, 28))


@cache
def data() -> tuple[TensorBatches, TensorBatches]:
    (images, labels), (test_images, test_labels) = mnist.load(train=900, test=300)
    return TensorBatches(images, labels, size=32, shuffle=True), TensorBatches(test_images, test_labels)


def train(child: nn.Module) -> nn.Module:
    fit(child, data()[0], optimizer=lambda weights: torch.optim.Adam(weights, lr=0.01), epochs=3)
    return child


@torch.no_grad()
def latency_ms(module: nn.Module, images: Tensor) -> float:
    """Median wall time of a call, in milliseconds, after three to warm up."""
    module.eval()
    times = []
    for _ in range(18):
        start = time.perf_counter()
        module(images)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:])


def evaluate(graph: fxnas.ChoiceGraph, architecture: fxnas.Architecture) -> dict[str, float]:
    child = train(fxnas.materialize(graph, architecture))
    return {"score": measure(child, data()[1]), "latency_ms": latency_ms(child, data()[1].inputs[:16])}


def main() -> None:
    supernet, images = graph(), data()[1].inputs
    strategy, objectives = Nsga2(supernet.space, population=5), ("score", "latency_ms")
    result = fxnas.search(supernet, strategy, evaluate, trials=10, objectives=objectives)
    front = sorted(result.pareto(*objectives), key=lambda trial: trial.metrics["latency_ms"])
    for trial in front:
        print(f"{trial.metrics['latency_ms']:6.2f} ms  accuracy {trial.score:.3f}  {trial.architecture.to_json()}")
    for name, trial in {"fastest": front[0], "most_accurate": front[-1]}.items():
        child = train(fxnas.materialize(supernet, trial.architecture))
        print(name, fxnas.exporters.export_onnx(child.eval(), images[:2], f"{name}.onnx"))


if __name__ == "__main__":
    main()
