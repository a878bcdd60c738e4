"""The constructor call that makes a torch.nn module anew, checked by making it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.exporters.functions import public_name
from fxnas.exporters.literals import Unwritable, literal
from fxnas.exporters.sameness import Repair, repairs

_NOT_ASKED = ("device", "dtype")


@dataclass(frozen=True)
class Call:
    """A constructor call.

    Attributes:
        name: the public name of the class.
        kind: the class.
        positional: the positional arguments.
        keywords: the keyword arguments.
    """

    name: str
    kind: type[nn.Module]
    positional: tuple[Any, ...]
    keywords: dict[str, Any]

    def __str__(self) -> str:
        keywords = (f"{name}={_source(value)}" for name, value in self.keywords.items())
        return f"{self.name}({', '.join((*map(_source, self.positional), *keywords))})"

    def make(self) -> nn.Module:
        """Makes the module, on the current default device."""
        keywords = {name: _made(value) for name, value in self.keywords.items()}
        return self.kind(*map(_made, self.positional), **keywords)


def constructor(module: nn.Module) -> tuple[Call, tuple[Repair, ...]]:
    """The call that makes a module like this one, and the attributes to be set afterwards.

    Raises:
        Unwritable: there is no such call: the class isn't torch's, or something was done to the module that its
            constructor doesn't know.
    """
    found: list[tuple[Call, tuple[Repair, ...]]] = []
    reason = Unwritable("")
    for call in (_call(module, short=True), _call(module, short=False)):
        try:
            found.append((call, repairs(_make(call), module)))
        except Unwritable as error:
            reason = error
    if not found:
        raise reason
    return min(found, key=lambda pair: len(pair[1]))


def _make(call: Call) -> nn.Module:
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the constructor warns of, it did when the user called it
            return call.make()
    except Exception as error:
        raise Unwritable(f"{call} fails: {error}") from error


def _call(module: nn.Module, short: bool) -> Call:
    """The call, with `(3, 3)` written as `3` and so compared with defaults where `short`."""
    kind = type(module)
    name = _class_name(kind)
    if isinstance(module, nn.Sequential):
        return Call(name, kind, tuple(_call(child, short) for child in module), {})
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for parameter in _parameters(kind):
        value, found = _value(module, parameter.name)
        if not found and parameter.default is parameter.empty:
            raise Unwritable(f"{name} has no attribute that tells its argument {parameter.name!r}")
        value = _shortened(value) if short else value
        if not found or _equal(value, parameter.default):
            continue
        value = _call(value, short) if isinstance(value, nn.Module) else value
        if parameter.default is parameter.empty and parameter.name != "kernel_size":
            positional.append(value)
        else:
            keywords[parameter.name] = value
    dtype = _dtype(module)
    if dtype not in (None, torch.float32) and "dtype" in _names(kind):
        keywords["dtype"] = dtype
    return Call(name, kind, tuple(positional), keywords)


def _class_name(kind: type[nn.Module]) -> str:
    if getattr(nn, kind.__name__, None) is kind:
        return f"nn.{kind.__name__}"
    if kind.__module__.startswith(("torch.nn.", "torch.ao.nn.")) and public_name(kind) is not None:
        return str(public_name(kind))
    raise Unwritable(f"its class {kind.__module__}.{kind.__qualname__} is not one of torch.nn")


def _signature(kind: type[nn.Module]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    if issubclass(kind, nn.RNNBase):  # they pass `*args, **kwargs` on, but for the mode
        inner = list(inspect.signature(nn.RNNBase.__init__).parameters.values())[2:]
        choice = [inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")]
        return [*inner, *(choice if kind is nn.RNN else ())]
    return parameters


def _names(kind: type[nn.Module]) -> list[str]:
    return [parameter.name for parameter in _signature(kind)]


def _parameters(kind: type[nn.Module]) -> Iterator[inspect.Parameter]:
    for parameter in _signature(kind):
        starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not starred and not parameter.name.startswith("_") and parameter.name not in _NOT_ASKED:
            yield parameter


def _value(module: Any, name: str) -> tuple[Any, bool]:
    """What an argument was, as the module tells, and whether it tells."""
    for kind in type(module).__mro__:
        ask = _SPECIAL.get(kind, {}).get(name)
        if ask is not None:
            return ask(module), True
    if name == "bias" and name in module._parameters:
        return module.bias is not None, True
    if not hasattr(module, name):
        return None, False
    value = getattr(module, name)
    return (None, False) if inspect.ismethod(value) else (value, True)


def _attention(part: str) -> dict[str, Callable[[Any], Any]]:
    """How the layers of a transformer tell their arguments."""
    return {
        "d_model": lambda m: getattr(m, part).embed_dim,
        "nhead": lambda m: getattr(m, part).num_heads,
        "batch_first": lambda m: getattr(m, part).batch_first,
        "dim_feedforward": lambda m: m.linear1.out_features,
        "dropout": lambda m: m.dropout.p,
        "layer_norm_eps": lambda m: m.norm1.eps,
        "bias": lambda m: m.linear1.bias is not None,
    }


_SPECIAL: dict[Any, dict[str, Callable[[Any], Any]]] = {
    nn.MultiheadAttention: {
        "bias": lambda m: m.in_proj_bias is not None,
        "add_bias_kv": lambda m: m.bias_k is not None,
        "kdim": lambda m: None if m.kdim == m.embed_dim else m.kdim,
        "vdim": lambda m: None if m.vdim == m.embed_dim else m.vdim,
    },
    nn.TransformerEncoderLayer: _attention("self_attn"),
    nn.TransformerDecoderLayer: _attention("self_attn"),
    nn.TransformerEncoder: {"encoder_layer": lambda m: m.layers[0]},
    nn.TransformerDecoder: {"decoder_layer": lambda m: m.layers[0]},
    nn.Transformer: {"custom_encoder": lambda m: m.encoder, "custom_decoder": lambda m: m.decoder},
    nn.AdaptiveLogSoftmaxWithLoss: {"cutoffs": lambda m: m.cutoffs[:-1]},
    nn.PairwiseDistance: {"p": lambda m: m.norm},
}


def _dtype(module: nn.Module) -> torch.dtype | None:
    """The one dtype of all floating-point parameters and buffers, else None."""
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point() or t.is_complex()]
    dtypes = {tensor.dtype for tensor in tensors}
    return dtypes.pop() if len(dtypes) == 1 else None


def _shortened(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value and len(set(map(repr, value))) == 1 else value


def _equal(value: Any, default: Any) -> bool:
    if value is default:
        return True
    return type(value) in (bool, int, float, str, tuple) and type(value) is type(default) and bool(value == default)


def _made(value: Any) -> Any:
    if isinstance(value, Call):
        return value.make()
    return torch.empty(value.shape, dtype=value.dtype) if isinstance(value, Tensor) else value


def _source(value: Any) -> str:
    if isinstance(value, Call):
        return str(value)
    if isinstance(value, Tensor):  # its values come with the weights
        return f"torch.empty({literal(tuple(value.shape))}, dtype={literal(value.dtype)})"
    return literal(value, _function)


def _function(value: Any) -> str:
    name = public_name(value) if callable(value) else None
    if name is None:
        raise Unwritable(f"a {type(value).__name__} has no form in Python source")
    return name
