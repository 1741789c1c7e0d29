"""Options that make `extract` do what another system does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from eric_fast.errors import SettingError, suggest_nearest
from eric_fast.extract.options import ExtractOptions


class Preset(NamedTuple):
    """One system.

    Attributes:
        norm: how its feature maps are reduced; see `reduce_norm`.
        options: fields of `ExtractOptions`.
    """

    norm: str
    options: Mapping[str, Any]


PRESETS = {
    # Padalkar, Wang, Gupta, AAAI 2024. Its standard deviation is that of a sample: n - 1 images in place of n.
    "nesyfold": Preset(
        "spectral", {"rules": "fold", "ratio": 0.8, "min_leaf": 0.005, "threshold": ">=0.6*mean+0.7*std"}
    ),
}


def apply_preset(name: str, options: ExtractOptions, norm: str) -> ExtractOptions:
    """The options with those of a preset in their place.

    Args:
        name: one of `PRESETS`.
        norm: of the capture.

    Raises:
        SettingError: an unknown preset; a capture with another norm.
    """
    if name not in PRESETS:
        raise SettingError(f"'{name}' is not a preset{suggest_nearest(name, PRESETS)}; there is {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if norm != preset.norm:
        raise SettingError(
            f"{name} reduces feature maps to the norm '{preset.norm}', but this capture has '{norm}'; capture the "
            f"images with --norm {preset.norm}, or leave --preset out and give its options yourself: "
            + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in preset.options.items())
        )
    return replace(options, **preset.options)
