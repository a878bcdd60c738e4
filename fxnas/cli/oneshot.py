"""`fxnas oneshot`: train a supernet once, and read the architecture off it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fxnas.cli import console
from fxnas.cli.load import SEED, example_inputs, load_model
from fxnas.cli.method_options import arguments_of, read_options
from fxnas.cli.options import Inputs, Json, Model, check_outputs
from fxnas.errors import FxnasError
from fxnas.named import load_object, users_code

if TYPE_CHECKING:
    from torch import nn

    from fxnas.graph import ChoiceGraph
    from fxnas.oneshot import OneShotTrainer


class MethodName(StrEnum):
    """The methods that the command line offers."""

    darts = "darts"
    darts2 = "darts2"
    enas = "enas"
    fbnet = "fbnet"
    gdas = "gdas"
    path_dropout = "path-dropout"
    proxyless = "proxyless"
    single_path = "single-path"
    smash = "smash"
    spos = "spos"


class _Offer(NamedTuple):
    trainer: str  # its name in fxnas.oneshot
    help: str


OFFERS = {
    MethodName.darts: _Offer("DartsTrainer", "all candidates mixed by a softmax"),
    MethodName.darts2: _Offer("UnrolledDartsTrainer", "the same, looking one step ahead"),
    MethodName.enas: _Offer("EnasTrainer", "an LSTM that draws, taught by validation accuracy"),
    MethodName.fbnet: _Offer("FBNetTrainer", "all mixed by random soft masks"),
    MethodName.gdas: _Offer("GdasTrainer", "one drawn, with a gradient for all"),
    MethodName.path_dropout: _Offer("PathDropoutTrainer", "all added up, some paths dropped"),
    MethodName.proxyless: _Offer("ProxylessNasTrainer", "binary gates, two paths at a time"),
    MethodName.single_path: _Offer("SinglePathNasTrainer", "nested kernels share one, thresholds cut it"),
    MethodName.smash: _Offer("SmashTrainer", "random paths, whose weights a hypernetwork generates"),
    MethodName.spos: _Offer("SposTrainer", "one drawn uniformly, evolution at the end"),
}
OWN = {"seed", "loss", "precision", "compile"}  # arguments of methods that have options of their own
HELP = "How. " + "; ".join(f"{name}: {offer.help}" for name, offer in OFFERS.items()) + "."


class CostName(StrEnum):
    """The cost models that the command line offers; see `fxnas.costs`."""

    params = "params"
    flops = "flops"
    memory = "memory"
    latency = "latency"


class Precision(StrEnum):
    """Of the forward pass."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def oneshot(
    model: Model,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            help="file.py:name (or a name beside the model) of a function that returns the training data, or a pair of "
            "training and validation data: data sets of (inputs, target), or lists of batches.",
        ),
    ] = "data",
    method: Annotated[MethodName, typer.Option("--method", "-m", help=HELP)] = MethodName.darts,
    epochs: Annotated[int, typer.Option("--epochs", "-n", min=1, help="Passes through the training data.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Elements in a batch of a data set.")] = 64,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Name of a function (output, target) -> scalar; cross-entropy by default.", show_default=False
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Name of a function (output, target) -> number or dict; accuracy by default with cross-entropy.",
            show_default=False,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="An argument of the method, the value as JSON or a function's name; once for each.",
            show_default=False,
        ),
    ] = None,
    cost: Annotated[
        CostName | None,
        typer.Option(help="What an architecture costs, for --cost-weight or --cost-limit.", show_default=False),
    ] = None,
    cost_weight: Annotated[
        float | None,
        typer.Option(
            help="Adds this much to the loss for each unit of the expected cost (single-path: of its logarithm).",
            show_default=False,
        ),
    ] = None,
    cost_limit: Annotated[
        float | None, typer.Option(help="What an architecture may cost at most (spos).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same architecture.")] = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", "-c", help="Written after each epoch; gone on from if it exists.", show_default=False
        ),
    ] = None,
    checkpoint_frequency: Annotated[
        int | None, typer.Option(min=1, help="Steps between two checkpoints within an epoch.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the architecture here.", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "-w",
            help="Write the trained supernet's weights here (safetensors); `fxnas export -w` takes them.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; by default cpu.", show_default=False)] = None,
    precision: Annotated[Precision, typer.Option(help="Of the forward pass.")] = Precision.float32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load the data.")] = 0,
    compile: Annotated[
        str | None, typer.Option(help="Backend of torch.compile, such as inductor.", show_default=False)
    ] = None,
    inputs: Inputs = None,
    json: Json = False,
) -> None:
    """Train all architectures of a model together, and write the best one.

    For example:

      fxnas oneshot net.py:Net --data net.py:data --method darts -n 20 -o best.json -w supernet.safetensors

      fxnas oneshot net.py:Net --method darts --checkpoint run.safetensors    # killed, it goes on from there

      fxnas export net.py:Net -i 1x1x28x28 -a best.json -w supernet.safetensors -o net.onnx
    """
    check_outputs(output=output, weights=weights)
    module, found = load_model(model), _data(data, model)
    graph = _traced(module, inputs, model, found["dataset_train"])
    priced = _priced(method, graph, cost, cost_weight, cost_limit)
    trainer = _trainer(
        method,
        graph,
        **found,
        **_functions(loss, metrics, model),
        options=read_options(option or [], _kind(method), method, model, OWN) | priced,
        num_epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_frequency=checkpoint_frequency,
        device=device,
        precision=str(precision),
        workers=workers,
        compile=compile,
        progress=False if json else None,
    )
    trainer.train()
    architecture = trainer.export(output)
    if weights is not None:
        _save(module, weights)
    _show(trainer, architecture.to_json(), output, json)


def _traced(module: nn.Module, inputs: list[str] | None, name: str, train: Any) -> ChoiceGraph:
    """The graph of the model, traced with example inputs or, where there are none, with a batch of the data."""
    from fxnas.oneshot.data import batches_of
    from fxnas.trace import trace

    example = example_inputs(inputs, name)
    return trace(module, next(iter(batches_of(train, 2, seed=SEED)))[0] if example is None else example)


def _priced(
    method: MethodName, graph: ChoiceGraph, cost: CostName | None, weight: float | None, limit: float | None
) -> dict[str, Any]:
    """The argument of the method that takes the cost."""
    if cost is None or (weight is None) == (limit is None):
        if cost is None and weight is None and limit is None:
            return {}
        raise typer.BadParameter("--cost goes with --cost-weight or --cost-limit, and each of these with --cost")
    from fxnas import costs
    from fxnas.oneshot import Added, Limit, LogAdded

    wanted = "penalty" if limit is None else "limit"
    if wanted not in arguments_of(_kind(method)):
        raise typer.BadParameter(f"{method} has no {'--cost-weight' if limit is None else '--cost-limit'}")
    model = getattr(costs, cost)(graph)
    if limit is not None:
        return {"limit": Limit(model, limit)}
    assert weight is not None
    return {"penalty": (LogAdded if method is MethodName.single_path else Added)(model, weight)}


def _trainer(method: MethodName, model: Any, options: dict[str, Any], **settings: Any) -> OneShotTrainer:
    return _kind(method)(model, **settings, **options)


def _kind(method: MethodName) -> type[OneShotTrainer]:
    from fxnas import oneshot as methods

    kind: type[OneShotTrainer] = getattr(methods, OFFERS[method].trainer)
    return kind


def _data(name: str, model: str) -> dict[str, Any]:
    import torch

    function = load_object(name, what="data", beside=model)
    if not callable(function):
        raise FxnasError(f"data {name} is a {type(function).__name__}, not a function that returns data")
    torch.manual_seed(SEED)
    with users_code(name):
        found = function()
    train, valid = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    return {"dataset_train": train, "dataset_valid": valid}


def _functions(loss: str | None, metrics: str | None, model: str) -> dict[str, Any]:
    from fxnas.evaluators.train import accuracy

    given: dict[str, Any] = {}
    if loss is not None:
        given["loss"] = load_object(loss, what="loss", beside=model)
    if metrics is not None:
        given["metrics"] = load_object(metrics, what="metrics", beside=model)
    elif loss is None:
        given["metrics"] = lambda output, target: {"accuracy": accuracy(output, target)}
    return given


def _save(module: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    from fxnas.files import atomic_path

    first = {tensor.data_ptr(): name for name, tensor in reversed(module.state_dict().items())}
    tensors = {n: t.cpu().contiguous().clone() for n, t in module.state_dict().items() if first[t.data_ptr()] == n}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def _show(trainer: OneShotTrainer, architecture: dict[str, Any], output: Path | None, json: bool) -> None:
    if json:
        console.print_json({"architecture": architecture, "history": trainer.history})
        return
    rows = [(key, console.one_line({key: decision}).partition("=")[2]) for key, decision in architecture.items()]
    console.print_table(
        ("choice", "decision"), rows, title=f"{type(trainer.method).__name__}, {trainer.num_epochs} epochs"
    )
    if output is not None:
        console.print_text(f"architecture written to {output}")
