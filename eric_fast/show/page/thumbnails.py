"""Images small enough that thousands fit into one page."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from eric_fast.capture import ImageData, LoadedModel
from eric_fast.capture.maps import iterate_maps
from eric_fast.errors import DataError
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.activations import Activations

# The longer side in pixels, tried in turn until all images fit, and what one image takes as a rule in base64
SIDES = {128: 4500, 96: 3000, 64: 1600, 48: 1100, 32: 0}
QUALITY = 82
LOSSLESS_PIXELS = 256  # so small that every pixel counts


def find_images(activations: Activations, data: ImageData) -> list[int]:
    """For each captured image its index in `data`.

    Raises:
        DataError: an image of the capture that the data lacks.
    """
    place = {name: i for i, name in enumerate(data.ids)}
    for name in activations.ids:
        if name not in place:
            raise DataError(
                f"{data.name} has no image '{name}', which the capture has; give the images that were captured, from "
                f"{activations.settings.data}"
            )
    return [place[name] for name in activations.ids]


def view_images(
    data: ImageData, indices: Sequence[int], model: LoadedModel | None = None, progress: Progress = ignore_progress
) -> Iterator[Image.Image]:
    """The images one after another: as a model sees them (resized and cropped by its transform), or as they are.

    Raises:
        DataError: an image that can't be read.
    """
    if model is None:
        for done, index in enumerate(indices):
            if done % 100 == 0:
                progress("images", done, len(indices))
            yield to_picture(data.load_image(index))
    else:
        done = 0
        for part in iterate_maps(model, data, indices, {}, device="cpu"):
            for pixels in part.images.numpy():
                yield Image.fromarray(pixels)
            done += len(part.ids)
            if done < len(indices):
                progress("images", done, len(indices))
    progress("images", len(indices), len(indices))


def to_picture(image: Image.Image | Tensor) -> Image.Image:
    """An image of any data as a picture; a tensor `[channels, height, width]` in grey unless it has three channels.

    Floats from 0 to 1 are taken as they are; others are stretched from the least to the most of the image.
    """
    if isinstance(image, Image.Image):
        return image
    values = image.detach().cpu().double() / (255 if image.dtype == torch.uint8 else 1)
    if values.numel() and not 0 <= values.min() <= values.max() <= 1:
        values = (values - values.min()) / (values.max() - values.min()).clamp_min(1e-30)
    if len(values) != 3:
        values = values.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return Image.fromarray((values * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def make_thumbnails(images: Iterable[Image.Image], n_images: int, most_bytes: int) -> list[str]:
    """WebP images in base64, as large as fit into `most_bytes` together, and never larger than they are.

    Raises:
        DataError: they don't fit at any size.
    """
    share = most_bytes / max(1, n_images)
    sides = [side for side, size in SIDES.items() if size <= share]
    small = [_shrink(image, sides[0]) for image in images]
    for side in sides:
        texts = [_encode(_shrink(image, side)) for image in small]
        if sum(map(len, texts)) <= most_bytes:
            return texts
    raise DataError(f"{n_images:,} images don't fit into the report at {sides[-1]} pixels; embed fewer")


def _shrink(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _encode(image: Image.Image) -> str:
    buffer = io.BytesIO()
    is_tiny = image.width * image.height <= LOSSLESS_PIXELS
    image.save(buffer, "WEBP", lossless=is_tiny, quality=QUALITY, method=2)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
