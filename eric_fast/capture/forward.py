"""Run a network on its device: from batches of images to logits and norms."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from eric_fast.capture.batches import ImageBatch
from eric_fast.capture.layers import NormTracer, describe_error, trace_norms
from eric_fast.capture.models import LoadedModel, copy_model
from eric_fast.capture.options import AUTOCAST_DTYPES, MEMORY_FORMATS, PLAIN_DTYPES, CaptureOptions
from eric_fast.capture.outputs import NetworkHead
from eric_fast.errors import EricError, ModelError
from eric_fast.program.layer_graph import Edge


@dataclass(frozen=True)
class Answer:
    """The results of one batch, on the CPU.

    Attributes:
        batch: the batch, without its images.
        logits: float32 `[n_images, n_classes]`; None if no image of the batch could be read.
        norms: layer -> float32 `[n_images, n_kernels]`.
    """

    batch: ImageBatch
    logits: Tensor | None
    norms: dict[str, Tensor]


@dataclass(frozen=True)
class _Pending:
    """The results of a batch that are being copied to the CPU, in one tensor `[n, n_classes + n_kernels]`."""

    batch: ImageBatch
    layers: tuple[str, ...]
    widths: list[int]
    results: Tensor
    arrived: torch.cuda.Event


class NetworkRunner:
    """Runs a network over batches. The network is traced on the first image.

    On a GPU, copying a batch there and its results back overlaps with computing other batches.

    Args:
        model: not changed; it is copied for another dtype, device or memory format.
        options: which layers are computed, and how. No batch is larger than `batch_size`.
    """

    def __init__(self, model: LoadedModel, options: CaptureOptions) -> None:
        self.options = options
        self._model = model
        self._device = torch.device(options.device_kind)
        self._memory_format = MEMORY_FORMATS[options.memory_format]
        self._tracer: NormTracer | None = None
        self._head: NetworkHead | None = None
        self._copies = torch.cuda.Stream() if self._device.type == "cuda" else None
        self._n_ahead = 1 if self._device.type == "cuda" else 0

    @property
    def head(self) -> NetworkHead | None:
        """Where the network's logits are, and what they mean; None before the first image."""
        return self._head

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Which layers feed which; see `LayerGraph`. Empty before the first image."""
        return () if self._tracer is None else self._tracer.edges

    def run(self, batches: Iterable[ImageBatch], ids: Sequence[str]) -> Iterator[Answer]:
        """One answer for each batch, in order. `ids` name the images of the data.

        Raises:
            ModelError: see `trace_norms`; a network that fails on some batch, named by its first and last image.
        """
        launched: deque[Answer | _Pending] = deque()
        for batch in batches:
            with name_failure(batch, ids):
                launched.append(self._launch(batch))
            if len(launched) > self._n_ahead:
                yield self._fetch(launched.popleft(), ids)
        while launched:
            yield self._fetch(launched.popleft(), ids)

    def _launch(self, batch: ImageBatch) -> Answer | _Pending:
        bare = replace(batch, images=torch.empty(0))
        if not batch.indices:
            return Answer(bare, None, {})
        images = self._move(batch.images)
        with cast_as(self._device, self.options.dtype):
            if self._tracer is None:
                self._tracer = self._trace(images[:1])
            # Compiled code is for one batch size: smaller batches are padded with zeros, whose results are cut off.
            n_lacking = self.options.batch_size - len(images) if self.options.compile else 0
            logits, norms = self._tracer(
                functional.pad(images, (0, 0) * (images.ndim - 1) + (0, n_lacking)) if n_lacking else images
            )
        n = len(images)
        parts = [logits[:n].float(), *(values[:n] for values in norms.values())]
        if self._copies is None:
            return Answer(bare, parts[0], dict(zip(norms, parts[1:], strict=True)))
        results = torch.cat(parts, dim=1)
        there = torch.empty(results.shape, pin_memory=True).copy_(results, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return _Pending(bare, tuple(norms), [part.shape[1] for part in parts], there, arrived)

    def _fetch(self, launched: Answer | _Pending, ids: Sequence[str]) -> Answer:
        if isinstance(launched, Answer):
            return launched
        with name_failure(launched.batch, ids):  # errors of a GPU are raised when its results are waited for
            launched.arrived.synchronize()
        logits, *norms = launched.results.split(launched.widths, dim=1)
        return Answer(launched.batch, logits, dict(zip(launched.layers, norms, strict=True)))

    def _move(self, images: Tensor) -> Tensor:
        if self._copies is None:
            return arrange_memory(_cast(images, self.options.dtype), self._memory_format)
        with torch.cuda.stream(self._copies):  # from pinned memory, while the previous batch is computed
            images = _cast(images.to(self._device, non_blocking=True), self.options.dtype)
            images = arrange_memory(images, self._memory_format)
        stream = torch.cuda.current_stream()
        stream.wait_stream(self._copies)
        images.record_stream(stream)
        return images

    def _trace(self, example: Tensor) -> NormTracer:
        own = self.options
        module = place_network(self._model.module, self._device, own.dtype, self._memory_format)
        tracer = trace_norms(module, example, own.layers, own.norm, grid=own.grid, choice=self._model.choice)
        self._head = tracer.head
        if own.compile:
            if not tracer.is_traced:
                raise ModelError("the model can't be compiled, as it can't be traced; leave --compile out")
            tracer.network.compile(dynamic=False)
        return tracer


def _cast(images: Tensor, dtype: str) -> Tensor:
    """Images in the dtype of the network; numbers of tokens as they are."""
    return images.to(plain_dtype(dtype)) if images.is_floating_point() else images


def arrange_memory(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Images in a memory format; other data than `[n, channels, height, width]` stay contiguous."""
    return images.contiguous(memory_format=memory_format if images.ndim == 4 else torch.contiguous_format)


def plain_dtype(dtype: str) -> torch.dtype:
    """The dtype of weights and images for one of `NETWORK_DTYPES`."""
    return PLAIN_DTYPES.get(dtype, torch.float32)


def cast_as(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    """The context of torch.autocast, if one of `NETWORK_DTYPES` asks for it."""
    return torch.autocast(device.type, AUTOCAST_DTYPES[dtype]) if dtype in AUTOCAST_DTYPES else nullcontext()


def place_network(module: nn.Module, device: torch.device, dtype: str, memory_format: torch.memory_format) -> nn.Module:
    """Return a copy of the network on a device in one of `NETWORK_DTYPES`, or the network itself if it is there."""
    tensors = [*module.parameters(), *module.buffers()]
    is_ready = memory_format == torch.contiguous_format and all(
        t.device.type == device.type and (not t.is_floating_point() or t.dtype == plain_dtype(dtype)) for t in tensors
    )
    if is_ready:
        return module
    return copy_model(module).to(device, plain_dtype(dtype)).to(memory_format=memory_format)


@contextmanager
def name_failure(batch: ImageBatch, ids: Sequence[str]) -> Iterator[None]:
    """Report an error of the network's code as a ModelError with the first and last image of the batch."""
    try:
        yield
    except EricError:
        raise
    except (Exception, SystemExit) as error:  # the network's own code
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
        remedy = "give a smaller --batch-size" if is_memory else "its forward must take any number of images"
        where = f"a batch of {len(batch.indices)} images, '{ids[batch.indices[0]]}' to '{ids[batch.indices[-1]]}'"
        raise ModelError(f"the model fails on {where}: {describe_error(error)}; {remedy}") from error
