"""Feature maps of some kernels on some images, and the images as the network sees them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from eric_fast.capture.batches import cut_batches, iterate_batches
from eric_fast.capture.data import ImageData
from eric_fast.capture.forward import arrange_memory, cast_as, name_failure, place_network, plain_dtype
from eric_fast.capture.layers import NormTracer, report_failure, trace_layers
from eric_fast.capture.models import LoadedModel, Transform, take_model
from eric_fast.capture.options import MEMORY_FORMATS, CaptureOptions, complete_capture
from eric_fast.errors import DataError, ModelError


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Feature maps of some kernels on some images.

    Attributes:
        ids: names of the images.
        images: uint8 `[n_images, height, width, 3]`, as the network sees them (resized and cropped by the model's
            transform), so that every map covers its whole image.
        kernels: layer -> indices of its kernels.
        maps: layer -> float32 `[n_images, n_kernels, height, width]`, kernels as in `kernels`.
    """

    ids: tuple[str, ...]
    images: Tensor
    kernels: Mapping[str, tuple[int, ...]]
    maps: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        for name in ("kernels", "maps"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        n = len(self.ids)
        assert self.images.dtype == torch.uint8
        assert self.images.ndim == 4
        assert len(self.images) == n
        assert self.images.shape[3] == 3
        assert list(self.kernels) == list(self.maps)
        for layer, maps in self.maps.items():
            assert maps.dtype == torch.float32
            assert maps.shape[:2] == (n, len(self.kernels[layer]))

    def find_map(self, image: int, layer: str, kernel: int) -> Tensor:
        """The map of one kernel on the image with index `image` among these: float32 `[height, width]`."""
        return self.maps[layer][image, self.kernels[layer].index(kernel)]


def capture_maps(
    model: LoadedModel | torch.nn.Module,
    data: ImageData,
    indices: Sequence[int],
    kernels: Mapping[str, Sequence[int]],
    **settings: Any,
) -> FeatureMaps:
    """Capture the feature maps of these kernels on the images at `indices` of `data`, all in memory.

    For arguments, settings and errors see `iterate_maps`, which needs memory for one batch.
    """
    parts = list(iterate_maps(model, data, indices, kernels, **settings))
    if not parts:
        raise DataError(f"no images of {data.name} are given, or none of them can be read; give others")
    return FeatureMaps(
        ids=tuple(name for part in parts for name in part.ids),
        images=torch.cat([part.images for part in parts]),
        kernels=parts[0].kernels,
        maps={layer: torch.cat([part.maps[layer] for part in parts]) for layer in parts[0].maps},
    )


def iterate_maps(
    model: LoadedModel | torch.nn.Module,
    data: ImageData,
    indices: Sequence[int],
    kernels: Mapping[str, Sequence[int]],
    options: CaptureOptions | None = None,
    **changes: Any,
) -> Iterator[FeatureMaps]:
    """Capture the feature maps of these kernels on the images at `indices` of `data`, batch by batch.

    Maps are read in the same place of the same traced graph as the norms of a capture, before anything can change them
    in place. Their norms (`reduce_norm`) equal those of the capture, except for the last digits, which depend on the
    batch.

    Args:
        model: as of `capture_activations`; it is not changed.
        data: from `open_data`.
        indices: indices of images, in any order.
        kernels: name of a layer (no pattern) -> indices of its kernels; may be empty, for the images alone.
        options: how the network runs, and on how many images at a time.
        changes: fields of `CaptureOptions` by name, in place of those in `options`.

    Raises:
        ModelError: an unknown layer or kernel; a network that fails on some batch.
        DataError: an image that doesn't exist or can't be read; images of different shapes.
        SettingError: an invalid setting.
    """
    model = take_model(model)
    own = complete_capture(options, changes)
    kind, layout = torch.device(own.device_kind), MEMORY_FORMATS[own.memory_format]
    wanted = {layer: tuple(numbers) for layer, numbers in kernels.items() if len(numbers)}
    for index in indices:
        if not 0 <= index < len(data):
            raise DataError(f"{data.name} has no image number {index}, only 0 to {len(data) - 1}")
    network = place_network(model.module, kind, own.dtype, layout)
    tracer: NormTracer | None = None
    viewer: _Viewer | None = None
    batches = iterate_batches(data, cut_batches(indices, own.batch_size), model.transform, workers=own.workers)
    with closing(batches):
        for batch in batches:
            for bad in batch.bad:
                if not own.skip_bad_images:
                    raise DataError(f"{bad.message}; repair or remove it")
            if not batch.indices:
                continue
            ids = tuple(data.ids[i] for i in batch.indices)
            found: dict[str, Tensor] = {}
            exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
            with torch.inference_mode(), exact, cast_as(kind, own.dtype), name_failure(batch, data.ids):
                images = arrange_memory(batch.images.to(kind, plain_dtype(own.dtype)), layout)
                if wanted and tracer is None:
                    tracer = _trace_maps(network, images[:1], wanted)
                if tracer is not None:
                    _, found = tracer(images)
            if viewer is None:  # an image of a stream can't be read twice
                like = batch.images[0] if data.is_stream else data.load_image(batch.indices[0])
                viewer = _Viewer(model.transform, like)
            yield FeatureMaps(
                ids=ids,
                images=viewer.view(batch.images),
                kernels={layer: wanted[layer] for layer in found},
                maps={layer: maps.cpu().clone() for layer, maps in found.items()},
            )


def take_kernels(maps: Tensor, wanted: tuple[str, Sequence[int]]) -> Tensor:
    """Copy the maps of `wanted`, (layer, kernels), to float32, from `[n_images, n_kernels, height, width]`."""
    layer, kernels = wanted
    for kernel in kernels:
        if not 0 <= kernel < maps.shape[1]:
            raise ModelError(f"layer '{layer}' has no kernel {kernel}, only 0 to {maps.shape[1] - 1}")
    return maps[:, torch.tensor(kernels, device=maps.device)].float()


def _trace_maps(network: torch.nn.Module, example: Tensor, wanted: Mapping[str, tuple[int, ...]]) -> NormTracer:
    tracer = trace_layers(
        network, example, list(wanted), take_kernels, lambda layer, _: (layer, wanted.get(layer, ())), with_head=False
    )
    unknown = [layer for layer in tracer.layers if layer not in wanted]
    if unknown:
        raise ModelError(f"'{unknown[0]}' is matched by a pattern; name each layer instead")
    return tracer


class _Viewer:
    """Converts inputs of the network back to pictures.

    The transform of a black and of a white image shows how it scales and normalises 0 and 1.
    """

    def __init__(self, transform: Transform, like: Image.Image | Tensor) -> None:
        if isinstance(like, Tensor):  # preprocessed by the data, in an unknown way
            self._black = self._range = torch.zeros(len(like), dtype=torch.float64)
            return
        with report_failure("the model's transform fails on a black or white image", "fix it"):
            levels = [transform(Image.new(like.mode, like.size, colour)).double() for colour in ("black", "white")]
        self._black, white = (level[:, level.shape[1] // 2, level.shape[2] // 2] for level in levels)  # [channels]
        self._range = white - self._black

    def view(self, images: Tensor) -> Tensor:
        """Convert float `[n, channels, height, width]` to uint8 `[n, height, width, 3]`; grey unless of 3 channels.

        Of sound, channels are rows; of volumes, slices lie one below the other.
        """
        if images.ndim != 4:
            images = (images.flatten(2, -2) if images.ndim > 4 else images.flatten(1, -2)[:, None]).float()
        if len(self._range) == images.shape[1] and bool((self._range != 0).all()):
            scaled = (images.double() - self._black[:, None, None]) / self._range[:, None, None]
        else:  # unknown scaling: use the range of each image
            flat = images.double().flatten(1)
            least, most = (bound[:, None, None, None] for bound in (flat.amin(1), flat.amax(1)))
            scaled = (images.double() - least) / (most - least).clamp_min(1e-30)
        if scaled.shape[1] != 3:
            scaled = scaled.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        return (scaled.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
