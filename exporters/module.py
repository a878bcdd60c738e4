"""Folders with a network as readable Python source and its weights; they load without fxnas."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, fx, nn

from fxnas import __version__
from fxnas.errors import ExportError
from fxnas.exporters.architecture import ArchitectureLike, architecture_of
from fxnas.exporters.checks import check_graph_module
from fxnas.exporters.compare import Difference, describe, difference, same_bits
from fxnas.exporters.imported import imported
from fxnas.exporters.plan import Plan, make_plan, os_errors
from fxnas.exporters.report import Comparison, ExportReport, sha256
from fxnas.exporters.source import FILES, ModelSource, model_source
from fxnas.exporters.weights import save_weights
from fxnas.files import MANIFEST, atomic_folder, json_text, read_json
