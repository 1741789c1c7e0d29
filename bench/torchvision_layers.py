"""`python -m bench.torchvision_layers [--of LIBRARY] [--page FILE] [NAME...]`: default layers of classifiers.

Prints a table in Markdown: layers, the last one, whether predictions are the network's own, and seconds. Weights are
random. `--of` names `torchvision` (the default), `timm` or `transformers`, which must be importable. Without names a
few small networks are taken; `all` takes all of torchvision's, which needs some 10 GB and half an hour on one core.
`--page docs/reference/networks.md` writes the library's section of the documentation.
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.models import get_model, list_models

from bench.page_sections import write_section
from eric_fast.capture import capture_activations, wrap_model

# A few of each family, none with more than 100 million parameters.
SMALL = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5"),
    *("shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vit_b_16", "wide_resnet50_2"),
)
N_IMAGES = 2
SIDES = {"inception_v3": 299}  # of networks that don't take 224 pixels
TIMM = (
    *("convnext_atto", "convnextv2_atto", "edgenext_xx_small", "efficientformer_l1", "efficientnet_lite0"),
    *("efficientvit_b0", "fastvit_t8", "gcvit_xxtiny", "ghostnet_050", "hgnetv2_b0", "lcnet_035", "levit_128s"),
    *("mixer_s32_224", "mobilenetv3_small_050", "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs"),
    *("pit_ti_224", "poolformer_s12", "regnetx_002", "repvgg_a0", "resnet10t", "tf_efficientnetv2_b0", "tinynet_e"),
    *("tiny_vit_5m_224", "vit_tiny_patch16_224", "xcit_nano_12_p16_224"),
)
_SMALL_VIT = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 192}
TRANSFORMERS: dict[str, dict[str, Any]] = {  # name of a class -> its configuration, small
    "ViT": _SMALL_VIT,
    "DeiT": _SMALL_VIT,
    "Dinov2": {**_SMALL_VIT, "mlp_ratio": 2},
    "Swin": {"embed_dim": 48, "depths": [2, 2, 2, 2], "num_heads": [2, 2, 4, 4]},
    "ConvNext": {"hidden_sizes": [24, 48, 96, 192], "depths": [2, 2, 2, 2]},
    "ResNet": {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 2, 2], "layer_type": "basic"},
    "MobileNetV2": {},
}
HEAD = (
    "| network | layers | the last | its units | equal | s |",
    "|---|---:|---|---:|---|---:|",
)


class Library(NamedTuple):
    """Where networks come from.

    make: a network with random weights, from its name.
    names: of those that are taken where none is named.
    """

    make: Callable[[str], nn.Module]
    names: Sequence[str]


def make_transformer(name: str) -> nn.Module:
    """A small network of Hugging Face's transformers, for 10 classes."""
    library: Any = import_module("transformers")
    config = getattr(library, f"{name}Config")(num_labels=10, **TRANSFORMERS[name])
    network: nn.Module = getattr(library, f"{name}ForImageClassification")(config)
    return network


LIBRARIES = {
    "torchvision": Library(lambda name: get_model(name, weights=None), SMALL),
    "timm": Library(lambda name: import_module("timm").create_model(name, pretrained=False), TIMM),
    "transformers": Library(make_transformer, tuple(TRANSFORMERS)),
}


def describe_network(name: str, make: Callable[[str], nn.Module], n_images: int = N_IMAGES) -> str:
    """One row of the table."""
    torch.manual_seed(0)
    network = make(name).eval()
    side = SIDES.get(name, 224)
    images = torch.randn(n_images, 3, side, side, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    found = capture_activations(wrap_model(network), TensorDataset(images, torch.zeros(n_images, dtype=torch.int64)))
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        own = network(images)
    logits = own if isinstance(own, torch.Tensor) else own["logits"] if "logits" in own else own[0]
    equal = "yes" if torch.equal(logits.argmax(1), found.predictions) else "no"
    last = found.layers[-1]
    return f"| {name} | {len(found.layers)} | `{last}` | {found.n_kernels[last]:,} | {equal} | {seconds:.1f} |"


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="as the library has them, or all")
    parser.add_argument("--of", default="torchvision", choices=LIBRARIES, help="the library")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the library's section of this page")
    options = parser.parse_args()
    library = LIBRARIES[options.of]
    names = options.names or library.names
    if names == ["all"]:
        names = list_models(module=import_module("torchvision.models"))
    lines = list(HEAD)
    print("\n".join(HEAD))
    for name in names:
        lines.append(describe_network(name, library.make))
        print(lines[-1], flush=True)
    if options.page is not None:
        version = import_module(options.of).__version__.partition("+")[0]
        what = {"torchvision": "torchvision's classifiers", "timm": "timm's small networks"}
        about = what.get(options.of, "image classifiers of transformers, in small configurations")
        text = f"Of {about} ({options.of} {version}):\n\n" + "\n".join(lines)
        write_section(options.page, options.of, text)


if __name__ == "__main__":
    main()
