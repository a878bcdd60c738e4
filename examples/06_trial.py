"""The guide's search by trials: a training script that runs alone, and once for each architecture of a search.

    python examples/06_trial.py                                  # alone: the default architecture
    fxnas space --trial-command "python examples/06_trial.py" -o space.json
    fxnas search --trial-command "python examples/06_trial.py" --space space.json --strategy ppo --trials 4 --workers 2

The network is that of 01_mnist.py; without the MNIST file it learns scikit-learn's digits.
"""

import os
from importlib import import_module

import mnist
import torch
from torch.nn import functional as F

from fxnas import get_and_apply_next_architecture, report_final_result, report_intermediate_result
from fxnas.evaluators import TensorBatches, fit, measure


def main() -> None:
    torch.manual_seed(int(os.environ.get("FXNAS_SEED", 0)))
    model = import_module("01_mnist").Net()

    # get the chosen architecture from the search and apply it on the model
    get_and_apply_next_architecture(model)

    (images, labels), (test_images, test_labels) = mnist.load(train=900, test=300)
    train, test = TensorBatches(images, labels, shuffle=True), TensorBatches(test_images, test_labels)
    for _ in range(2):
        fit(model, train, loss=F.nll_loss, epochs=1)
        acc = measure(model, test)
        report_intermediate_result(acc)
    report_final_result(acc)  # report the performance of the chosen architecture


if __name__ == "__main__":
    main()
