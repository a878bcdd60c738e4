"""The network of the NNI guide, word for word but for the import, searched, retrained and exported.

Two things the guide gets wrong are marked below; nothing else differs. Run it with: python examples/01_mnist.py
"""

import mnist
import torch
import torch.nn as nn
import torch.nn.functional as F

import fxnas
from fxnas import nn as mutables
from fxnas.evaluators import TensorBatches, TrainAndScore, fit, measure
from fxnas.strategies import RandomSearch


# fmt: off
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = mutables.LayerChoice([
            nn.Conv2d(1, 32, 3, 1),
            nn.Conv2d(1, 32, 5, 1, 1)  # the guide: (1, 32, 5, 3), whose 8x8 images fit neither conv3x3's 26x26 nor fc1
        ])  # try 3x3 kernel and 5x5 kernel
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.conv3 = nn.Conv2d(64, 64, 1, 1)
        # declaring that there is exactly one candidate to choose from
        # search strategy will choose one or None
        self.skipcon = mutables.InputChoice(n_candidates=1)
        self.dropout1 = nn.Dropout2d(0.25)
        self.dropout2 = nn.Dropout(0.5)  # the guide: Dropout2d, which torch deprecates for the vectors that come here
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = self.conv1(x)
        x = F.relu(x)
        x = self.conv2(x)
        x0 = self.skipcon([x])  # choose one or none from [x]
        x = self.conv3(x)
        if x0 is not None:  # skipconnection is open
            x += x0
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.dropout2(x)
        x = self.fc2(x)
        output = F.log_softmax(x, dim=1)
        return output
# fmt: on


def main() -> None:
    torch.manual_seed(0)
    (images, labels), (test_images, test_labels) = mnist.load(train=1200, test=500)
    train = TensorBatches(images[:900], labels[:900], shuffle=True)
    held_out = TensorBatches(images[900:], labels[900:])
    test = TensorBatches(test_images, test_labels)

    graph = fxnas.trace(Net(), images[:2])
    print(graph.space.tree())
    evaluator = TrainAndScore(train, held_out, loss=F.nll_loss, epochs=1)
    result = fxnas.search(graph, RandomSearch(graph.space), evaluator, trials=4)
    print(result, result.best_architecture.to_json())

    child = fxnas.materialize(graph, result.best_architecture)
    fit(child, train, loss=F.nll_loss, epochs=2)
    print(f"test accuracy {measure(child, test):.3f}")
    print(fxnas.exporters.export_onnx(child.eval(), images[:2], "mnist.onnx"))


if __name__ == "__main__":
    main()
