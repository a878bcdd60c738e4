"""The text of the functions that load an exported network. They need torch and safetensors only, and no fxnas."""

from __future__ import annotations

from collections.abc import Mapping

from fxnas.exporters.literals import literal

_CHECK = '''
def load(device="cpu"):
    """Builds the network and gives it the exported weights.

    Args:
        device: where the parameters and buffers go.

    Raises:
        ValueError: a file beside this one is missing, or isn't the one that was exported.
    """
    contents = {name: _checked(name) for name in FILES}
    with torch.device("meta"):
        model = Model()
    _fill(model, load_tensors(contents["weights.safetensors"]), device)
    return model


def _checked(name):
    """The content of a file, once its size and sha256 are those of the manifest."""
    try:
        content = (FOLDER / name).read_bytes()
        expected = json.loads((FOLDER / "manifest.json").read_bytes())["files"][name]
        size, digest = expected["size"], expected["sha256"]
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is missing; export the network again") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{FOLDER / 'manifest.json'} is damaged; export the network again") from error
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(
            f"{FOLDER / name} is not the file that was exported ({len(content)} bytes, expected {size} and other "
            "content): it is damaged, or from another export. If you edited it yourself, correct manifest.json"
        )
    return content


def _fill(model, tensors, device):
    """Puts the weights where the constructors left tensors without values."""
    places = {}  # one entry for a tensor with several names
    for path, module in model.named_modules():
        for table in (module._parameters, module._buffers):
            for name, old in table.items():
                if old is not None:
                    places.setdefault(id(old), (f"{path}.{name}" if path else name, old, []))[2].append((table, name))
    if {name for name, _, _ in places.values()} != set(tensors):
        raise ValueError("weights.safetensors holds other tensors than the network has")
    for path, old, entries in places.values():
        tensor = tensors[path].to(device, copy=True)
'''
_AS_REAL = """        if old.is_complex() and not tensor.is_complex():
            tensor = torch.view_as_complex(tensor)
"""
_STRIDES = """        if path in STRIDES:
            tensor = torch.empty_strided(tensor.shape, STRIDES[path], dtype=tensor.dtype, device=device).copy_(tensor)
"""
_PLACE = """        if tensor.shape != old.shape:
            raise ValueError(f"{path} has the shape {tuple(tensor.shape)}, the network needs {tuple(old.shape)}")
        if isinstance(old, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=old.requires_grad)
        for table, name in entries:
            table[name] = tensor
"""
_RECURRENT = """    for module in model.modules():
        if isinstance(module, nn.RNNBase):  # these keep a second list of their weights
            for name, parameter in module._parameters.items():
                setattr(module, name, parameter)
            module.flatten_parameters()
"""


def loader(*, strides: Mapping[str, tuple[int, ...]], as_real: bool, recurrent: bool) -> str:
    """The source of `load` and its helpers.

    Args:
        strides: the memory layout of tensors that have one of their own.
        as_real: some complex tensors are stored as pairs of real numbers.
        recurrent: the network has LSTM, GRU or RNN modules.
    """
    table = "".join(f"    {literal(name)}: {literal(tuple(stride))},\n" for name, stride in strides.items())
    head = f"\nSTRIDES = {{  # tensors that aren't laid out row by row\n{table}}}\n\n" if strides else ""
    parts = [_CHECK, _AS_REAL * as_real, _STRIDES * bool(strides), _PLACE, _RECURRENT * recurrent]
    return head + "".join(parts)
