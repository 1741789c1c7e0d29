"""`python -m bench.torchvision_layers [--page FILE] [NAME...]`: default layers of torchvision's classifiers.

Prints a table in Markdown: layers, the last one, whether predictions are the network's own, and seconds. Weights are
random. `all` takes all classifiers, which needs some 10 GB and half an hour on one core; without names those of `SMALL`
are taken. `--page docs/reference/networks.md` writes the page of the documentation.
"""

import argparse
import logging
import time
from pathlib import Path

import torch
import torchvision
from torch.utils.data import TensorDataset
from torchvision.models import list_models

from eric_fast.capture import capture_activations, load_model
from eric_fast.capture.layers import MOST_DEFAULTS

# A few of each family, none with more than 100 million parameters.
SMALL = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5"),
    *("shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vit_b_16", "wide_resnet50_2"),
)
PAGE = """# Networks

What `eric-fast capture` takes by default of torchvision's classifiers: how many layers (of a deeper network the last
{most}), the last of them, which `extract` reads by default, and how many units it has. *Equal* says whether the answers
that are captured are those of the network by itself. Weights are random; seconds are those of {n_images} images on one
core of a busy machine, and tell orders of magnitude.

{table}

Written by `python -m bench.torchvision_layers --page docs/reference/networks.md` with torchvision {version}. Give
names, or `all`, for others: `python -m bench.torchvision_layers vgg16`. How layers are chosen is told in
[Capture](../guide/capture.md).
"""
N_IMAGES = 2
SIDES = {"inception_v3": 299}  # of networks that don't take 224 pixels
HEAD = (
    "| network | layers | the last | its units | equal | s |",
    "|---|---:|---|---:|---|---:|",
)


def describe_network(name: str, n_images: int = N_IMAGES) -> str:
    """One row of the table."""
    model = load_model(name, "none")
    side = SIDES.get(name, 224)
    images = torch.randn(n_images, 3, side, side, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    found = capture_activations(model, TensorDataset(images, torch.zeros(n_images, dtype=torch.int64)))
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        own = model.module(images)
    logits = own if isinstance(own, torch.Tensor) else own[0]
    equal = "yes" if torch.equal(logits.argmax(1), found.predictions) else "no"
    last = found.layers[-1]
    return f"| {name} | {len(found.layers)} | `{last}` | {found.n_kernels[last]:,} | {equal} | {seconds:.1f} |"


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="as in torchvision.models, or all")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of the documentation")
    options = parser.parse_args()
    names = list_models(module=torchvision.models) if options.names == ["all"] else options.names or SMALL
    lines = list(HEAD)
    print("\n".join(HEAD))
    for name in names:
        lines.append(describe_network(name))
        print(lines[-1], flush=True)
    if options.page is not None:
        version = torchvision.__version__.partition("+")[0]
        page = PAGE.format(most=MOST_DEFAULTS, n_images=N_IMAGES, table="\n".join(lines), version=version)
        options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
