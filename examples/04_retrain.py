"""Retraining from a JSON file: the model with choices becomes one ordinary model.

Run it with: python examples/04_retrain.py
"""

from pathlib import Path

import torch

import fxnas
from fxnas.digits import DigitsNet, load_digits
from fxnas.evaluators import TensorBatches, fit, measure

torch.manual_seed(0)
train, _, test = load_digits()
batches = TensorBatches(train.images, train.labels, size=32, shuffle=True)

# What a search has written, or a person: names, indices and lists of either are all legal.
Path("architecture.json").write_text('{"conv1": "conv5x5", "conv2": 2, "skipcon": [true]}')

supernet = DigitsNet()
model = fxnas.apply_fixed_architecture(DigitsNet(), "architecture.json")
print(model)

# It may start from the weights of the supernet, under its own names ("conv1.weight", not "conv1.conv5x5.weight").
space = fxnas.nn.space_of(supernet)
architecture = fxnas.Architecture.from_json(Path("architecture.json"), space)
model.load_state_dict(fxnas.inherit(supernet.state_dict(), architecture, fixed=model))

fit(model, batches, epochs=8)
print(f"test accuracy {measure(model, TensorBatches(test.images, test.labels)):.3f}")

# And the trained weights go back into a supernet, to export the child from its graph for example.
supernet.load_state_dict(fxnas.inherit(model.state_dict(), architecture, fixed=model, into=supernet.state_dict()))
graph = fxnas.trace(supernet.eval(), test.images[:2])
child = fxnas.materialize(graph, architecture)
with torch.no_grad():
    assert torch.equal(child(test.images), model.eval()(test.images))
print(fxnas.exporters.export_module(child, test.images[:2], Path("retrained")))

# A wrong file is refused with what is legal, and leaves the model as it was.
try:
    fxnas.apply_fixed_architecture(DigitsNet(), {"conv1": "conv5x6", "conv2": 2, "skipcon": []})
except fxnas.errors.ArchitectureError as error:
    print(f"refused: {error}")
