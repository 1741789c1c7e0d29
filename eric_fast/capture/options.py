"""`CaptureOptions`: which layers are captured, as what, and how the network runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from eric_fast.capture.layers import check_grid
from eric_fast.capture.norms import unknown_norm
from eric_fast.capture.probes import Probes
from eric_fast.errors import SettingError
from eric_fast.program.atoms import NORMS

PLAIN_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTOCAST_DTYPES = {f"autocast-{name}": dtype for name, dtype in PLAIN_DTYPES.items() if name != "float32"}
NETWORK_DTYPES = (*PLAIN_DTYPES, *AUTOCAST_DTYPES)
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
_DEVICES = ("auto", "cpu", "cuda")
_BOUNDS = {"batch_size": (1, 2**20), "workers": (0, 1024), "limit": (1, None)}


@dataclass(frozen=True)
class CaptureOptions:
    """Which layers are captured, as what, and how the network runs.

    Attributes:
        layers: see `trace_norms`.
        norm: see `reduce_norm`.
        grid: 1, or 2 to keep the norms of the quarters of maps too, for atoms such as `features.19:207@upper-left`; see
            `reduce_regions`.
        dtype: what the network computes in: `float32`, `bfloat16`, `float16`; or float32 weights under torch.autocast,
            `autocast-bfloat16`, `autocast-float16`. Norms are always float32.
        device: `cpu`, `cuda`, or `auto`: the GPU if there is one.
        memory_format: `contiguous` or `channels-last`, of images and maps.
        compile: fuse the network with torch.compile first. This takes a minute, and pays off on a GPU with many images.
        batch_size: images in a batch. Batches are cut at fixed images, as the last digits may depend on them.
        workers: processes that decode images; 0 for this process.
        limit: take this many images, evenly spread over the data (image `i * n // limit` for each `i`): the first
            images of a folder would all be of one class.
        skip_bad_images: leave out images that can't be read. They are logged, and counted in the settings.
        logits: whether the network's outputs are kept, as float16: votes are fitted to them. By default those of at
            most 100 classes.
        probes: name -> module, which runs on the result of the one layer in `layers`, or -> (layer, module). What it
            gives is captured as a layer of that name, as the latents of a sparse autoencoder:
            `capture_activations(model, data, layers=["blocks.3"], probes={"sae": encoder})`. To run the program on
            images, give `wrap_model` the same probes.
        unit_axes: name of a layer -> the axis of its units; see `wrap_model`.

    Raises:
        SettingError: an invalid value; no GPU.

    Examples:
        >>> ef.CaptureOptions(layers="conv4.2", limit=100).norm
        'l1'
    """

    layers: Sequence[str] | None = None
    norm: str = "l1"
    grid: int = 1
    dtype: str = "float32"
    device: str = "auto"
    memory_format: str = "contiguous"
    compile: bool = False
    batch_size: int = 64
    workers: int = 0
    limit: int | None = None
    skip_bad_images: bool = False
    logits: bool | None = None
    probes: Probes | None = None
    unit_axes: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown_norm(self.norm)
        check_grid(self.grid)
        for name, value, choices in (
            ("dtype", self.dtype, NETWORK_DTYPES),
            ("device", self.device, _DEVICES),
            ("memory-format", self.memory_format, tuple(MEMORY_FORMATS)),
        ):
            if value not in choices:
                raise SettingError(f"--{name} '{value}' is not one of {', '.join(choices)}")
        for name, (lowest, highest) in _BOUNDS.items():
            number, option = getattr(self, name), name.replace("_", "-")
            if number is not None and number < lowest:
                raise SettingError(f"--{option} must be at least {lowest}, not {number}")
            if number is not None and highest is not None and number > highest:
                raise SettingError(f"--{option} must be at most {highest}, not {number}")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SettingError("--device cuda: there is no CUDA device here; use --device cpu")

    @property
    def device_kind(self) -> str:
        """`cpu` or `cuda`."""
        return "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"


def complete_capture(options: CaptureOptions | None, changes: Mapping[str, Any]) -> CaptureOptions:
    """The options, with changes by name."""
    given = {} if options is None else {own.name: getattr(options, own.name) for own in fields(options)}
    return CaptureOptions(**{**given, **changes})
