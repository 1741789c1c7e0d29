"""Choose the layers that are captured among those that were found."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from eric_fast.capture.units import CLASS_TOKEN
from eric_fast.errors import ModelError, suggest_nearest

_log = logging.getLogger(__name__)
MOST_DEFAULTS = 16  # that are captured where none is named


@dataclass(frozen=True)
class FoundLayers:
    """The layers that tracing or observing a network finds, by what may be captured where none is named.

    Attributes:
        defaults: names of the activations that a convolution reaches, on maps larger than 1x1; of the join of the last
            ones, where the head reads several; and of the blocks that run after the last of them.
        convolutions: names of the convolutions with maps larger than 1x1.
        blocks: names of the blocks of a transformer; of the class token, where the head reads it.
        residuals: names of blocks whose results are sums of maps.
        dense: names of the activations that a linear layer on maps reaches, whose channels are last.
        doubtful: name -> shape of results whose units are not known.
    """

    defaults: tuple[str, ...]
    convolutions: tuple[str, ...]
    blocks: tuple[str, ...]
    residuals: tuple[str, ...]
    dense: tuple[str, ...]
    doubtful: Mapping[str, tuple[int, ...]]


def pick_layers(
    found: FoundLayers, known: Collection[str], asked: Sequence[str] | None, n_images: int
) -> tuple[str, ...]:
    """Choose the layers in `asked` from `known` (in execution order); patterns are matched against the default ones.

    `n_images`: those of the example, on which layers were found.
    """
    defaults, note = _choose_defaults(found)
    if asked is None:
        if not defaults:
            raise ModelError(
                "the model has no convolution with a map larger than 1x1, so it has no kernels to capture; give a CNN, "
                f"or name layers with --layers{suggest_nearest('', known)}"
            )
        if note:
            _log.warning("%s", note)
        if len(defaults) > MOST_DEFAULTS:
            _log.warning(
                "the model has %d layers, of which the last %d are captured; --layers all captures all",
                len(defaults),
                MOST_DEFAULTS,
            )
        return defaults[-MOST_DEFAULTS:]
    chosen: set[str] = set()
    for name in asked:
        pattern = "*" if name == "all" else name
        matches = [name] if name in known else [layer for layer in defaults if fnmatchcase(layer, pattern)]
        if not matches and name.removesuffix(CLASS_TOKEN) in found.doubtful:
            shape = list(found.doubtful[name.removesuffix(CLASS_TOKEN)])
            if shape[0] != n_images:
                raise ModelError(
                    f"layer '{name}' gives {shape}, whose first axis doesn't count images (here {n_images}), so it "
                    "can't be captured; name a layer after it whose first axis does"
                )
            raise ModelError(
                f"layer '{name}' gives {shape}, and which axis counts its units isn't known; name the layer before or "
                f"after it, or the axis, with --unit-axis '{name}=AXIS'"
            )
        if not matches:
            is_pattern = any(sign in name for sign in "*?[")
            what = f"pattern '{name}' matches no layer" if is_pattern else f"layer '{name}' is not a layer"
            raise ModelError(f"{what} of the model{suggest_nearest(name, [*defaults, *known])}")
        chosen.update(matches)
    if not chosen:
        raise ModelError(f"--layers is empty{suggest_nearest('', defaults)}")
    return tuple(layer for layer in known if layer in chosen)


def _choose_defaults(found: FoundLayers) -> tuple[tuple[str, ...], str]:
    """The layers that are captured where none is named, and what is to be said of them."""
    signs = "--norm mean keeps the sign of values, of which l1 takes the size"
    tokens = "class tokens" if found.blocks and found.blocks[-1].endswith(CLASS_TOKEN) else "results"
    kinds = (
        (found.defaults, ""),
        (found.blocks, f"the model is a transformer, so the {tokens} of its blocks are captured; {signs}"),
        (
            found.residuals,
            f"no activation follows a convolution directly, so the results of blocks are captured; {signs}",
        ),
        (
            found.dense,
            "no activation follows a convolution, so those that follow linear layers on maps are captured",
        ),
        (
            found.convolutions,
            "no activation follows a convolution directly, so the convolutions are captured",
        ),
    )
    return next((kind for kind in kinds if kind[0]), ((), ""))
