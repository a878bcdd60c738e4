"""Networks of torchvision and Transformers in small sizes, each with a LayerChoice in place of one of its layers."""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fxnas.nn import LayerChoice
from tests.torchvision_shim import torchvision_models

Inputs = Callable[[int], Any]


@dataclass(frozen=True)
class Network:
    """A network to build, inputs by batch size, and the layer that becomes a choice."""

    name: str
    package: str
    build: Callable[[], nn.Module]
    inputs: Inputs
    layer: str

    def model(self) -> nn.Module:
        """The network in evaluation mode, with a choice between its layer and a differently initialized copy."""
        torch.manual_seed(0)
        model = self.build()
        owner_path, _, name = self.layer.rpartition(".")
        owner = model.get_submodule(owner_path)
        layer = owner._modules[name]
        assert layer is not None
        other = copy.deepcopy(layer)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(0.9)
        owner._modules[name] = LayerChoice({"original": layer, "other": other}, key="choice")
        _spread(model)
        return model.eval()

    @property
    def missing(self) -> bool:
        """Whether the package that defines it is not installed."""
        return importlib.util.find_spec(self.package) is None


def _spread(model: nn.Module) -> None:
    """Statistics away from 0 and 1 and no weights of zero, so that a layer left out would be seen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and not parameter.any():
                parameter.normal_(0, 0.02, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.8, 1.2, generator=generator)


def _image(size: int) -> Inputs:
    return lambda batch: torch.randn(batch, 3, size, size)


def _tokens(batch: int) -> torch.Tensor:
    return torch.randint(0, 99, (batch, 12))


def _masked(batch: int) -> dict[str, torch.Tensor]:
    mask = torch.ones(batch, 12, dtype=torch.long)
    mask[0, -3:] = 0
    return {"input_ids": _tokens(batch), "attention_mask": mask}


def _vision(name: str, size: int, layer: str, **options: Any) -> Network:
    return Network(
        name, "torchvision", lambda: getattr(torchvision_models(), name)(weights=None, **options), _image(size), layer
    )


def _text(name: str, config: str, model: str, inputs: Inputs, layer: str, **options: Any) -> Network:
    def build() -> nn.Module:
        os.environ["HF_HUB_OFFLINE"] = "1"
        if importlib.util.find_spec("torchvision") is not None:
            torchvision_models()  # transformers imports it too
        import transformers

        built: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**options))
        return built

    return Network(name, "transformers", build, inputs, layer)


NETWORKS = [
    _vision("resnet18", 64, "layer2.0.conv1"),
    _vision("resnet50", 64, "layer3.1.conv2"),
    _vision("mobilenet_v2", 64, "features.4.conv.1.0"),
    _vision("mobilenet_v3_small", 64, "features.5.block.0.0"),
    _vision("mobilenet_v3_large", 64, "features.7.block.1.0"),
    _vision("efficientnet_b0", 64, "features.3.0.block.1.0"),
    _vision("vit_b_16", 32, "encoder.layers.encoder_layer_3.mlp", image_size=32),
    _vision("swin_t", 64, "features.3.0.mlp"),
    _vision("densenet121", 64, "features.denseblock2.denselayer3.conv2"),
    _vision("googlenet", 64, "inception4a.branch2", init_weights=False),
    _vision("inception_v3", 96, "Mixed_5c.branch1x1", init_weights=False),
    _text(
        "bert", "BertConfig", "BertModel", _masked, "encoder.layer.0.intermediate",
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37,
    ),
    _text(
        "gpt2", "GPT2Config", "GPT2Model", lambda batch: {"input_ids": _tokens(batch)}, "h.0.mlp",
        vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2, use_cache=False,
    ),
    _text(
        "vit", "ViTConfig", "ViTModel", lambda batch: {"pixel_values": torch.randn(batch, 3, 32, 32)}, "layernorm",
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37, image_size=32, patch_size=8,
    ),
    _text(
        "t5_encoder", "T5Config", "T5EncoderModel", _masked, "encoder.block.0.layer.1",
        vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
    ),
]  # fmt: skip
