"""ONNX deployment: what serves the network needs numpy and ONNX Runtime, and no torch.

The first half makes the file, the second half is all that a server needs; it is run in a process of its own.
Run it with: python examples/05_onnx_deployment.py
"""

import json
import subprocess
import sys

import numpy as np


def build() -> None:
    """Trains one architecture, exports it, and keeps some digits to serve."""
    import torch

    import fxnas
    from fxnas.digits import DigitsNet, load_digits
    from fxnas.evaluators import TensorBatches, fit

    torch.manual_seed(0)
    train, _, test = load_digits()
    graph = fxnas.trace(DigitsNet(), train.images[:2])
    architecture = fxnas.Architecture.from_json('{"conv1": "conv3x3", "conv2": "separable", "skipcon": 0}', graph.space)
    child = fxnas.materialize(graph, architecture)
    fit(child, TensorBatches(train.images, train.labels, size=32, shuffle=True), epochs=5)
    print(fxnas.exporters.export_onnx(child.eval(), test.images[:2], "digits.onnx"))
    with torch.no_grad():
        np.savez("requests.npz", images=test.images, labels=test.labels, expected=child(test.images))


def serve() -> None:
    """Answers requests of any batch size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession("digits.onnx", options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    print(f"serving {entry.name} {entry.shape}: {session.get_modelmeta().custom_metadata_map['fxnas.architecture']}")

    with np.load("requests.npz", allow_pickle=False) as requests:
        images, labels, expected = requests["images"], requests["labels"], requests["expected"]
    answers = [
        session.run(None, {entry.name: images[i : i + size]})[0] for i, size in ((0, 1), (1, 5), (6, len(images)))
    ]
    scores = np.concatenate(answers)
    print(json.dumps({
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "max_error": float(np.abs(scores - expected).max()),
        "torch_imported": "torch" in sys.modules,
    }))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        build()
        subprocess.run([sys.executable, __file__, "serve"], check=True)
