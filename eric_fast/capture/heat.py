"""Heat maps: pictures of where in an image a kernel is active.

The kernel's activation is drawn over the grey image, in the colours of viridis, which are perceptually uniform and safe
for colour-blind readers; the more active, the more opaque. A white line encloses the *active area*, where the
activation is above the kernel's threshold. (The bit is true if the norm, a mean over the map, is above the threshold;
so the area is what raises the mean. For norm `max` the bit is true if there is any area.)
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eric_fast.errors import require_package

COLOURS = "viridis"
OPACITY = 0.85  # of the strongest activation
DIMMED = 0.8  # the grey image, so that a white line shows on white


def find_strength(activation: Any, norm: str) -> NDArray[np.float32]:
    """What counts of a feature map `[height, width]` for its norm, float32: `x` for `max` and `mean`, else `|x|`."""
    values = np.asarray(activation, np.float32)
    return values if norm in ("max", "mean") else np.abs(values)


def upsample_map(strength: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Resize float32 `[h, w]` to `[height, width]` by bilinear interpolation; both cover the same area."""
    resized = Image.fromarray(strength, "F").resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)


def draw_heat_map(
    image: Any,
    activation: Any,
    *,
    threshold: float | None = None,
    norm: str = "l1",
    top: float | None = None,
    size: int | None = None,
) -> Image.Image:
    """Draw a feature map over its image.

    Args:
        image: uint8 `[height, width, 3]`, as the network sees it (`FeatureMaps.images`).
        activation: float `[h, w]`, over the same area.
        threshold: the threshold of the kernel; a white line encloses the active area. None: no line.
        norm: the norm of the program; see `find_strength`.
        top: the activation that has the strongest colour. By default the higher of the map's maximum and the threshold,
            so that a weak map looks weak. Use the same value for pictures that are to be compared.
        size: the longer side in pixels; by default that of the image.

    Returns:
        RGB.
    """
    pixels = np.asarray(image, np.uint8)
    picture = Image.fromarray(pixels)
    height, width = pixels.shape[:2]
    if size is not None:
        scale = size / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        # A small image keeps its pixels: the network sees no more.
        method = Image.Resampling.NEAREST if scale > 4 else Image.Resampling.BICUBIC
        picture = picture.resize((width, height), method)
    grey = DIMMED * np.asarray(picture.convert("L"), np.float32)[:, :, None]
    raw = find_strength(activation, norm)
    highest = max(float(raw.max()), threshold or 0.0) if top is None else top
    strength = upsample_map(raw, width, height)
    share = np.clip(strength / highest, 0, 1) if highest > 0 else np.zeros_like(strength)
    colours = _list_colours()[np.rint(share * 255).astype(np.uint8)]  # [height, width, 3]
    opacity = (OPACITY * np.sqrt(share))[:, :, None]
    drawn = grey * (1 - opacity) + colours * opacity
    if threshold is not None:
        edge = _find_edge(strength > threshold, max(1, max(width, height) // 160))
        drawn[edge] = 255
    return Image.fromarray(np.rint(drawn).astype(np.uint8))


@cache
def _list_colours() -> NDArray[np.float32]:
    """The colours of 256 activations, from none to the strongest: float32 `[256, 3]`, 0 to 255."""
    require_package("matplotlib", "drawing a heat map")
    from matplotlib import colormaps

    return np.asarray(colormaps[COLOURS](np.arange(256))[:, :3] * 255, np.float32)


def _find_edge(area: NDArray[np.bool_], n_pixels: int) -> NDArray[np.bool_]:
    """Find the inner border of an area, `n_pixels` wide; the edge of the picture is not a border."""
    inner = area.copy()
    for _ in range(n_pixels):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return area & ~inner
