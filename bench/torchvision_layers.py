"""`python -m bench.torchvision_layers [NAME...]`: what is captured by default of torchvision's classifiers.

Prints a table in Markdown: layers, the last one, whether predictions are the network's own, and seconds. Weights are
random. Without names all classifiers are taken, which needs some 10 GB and half an hour on one core.
"""

import argparse
import logging
import time

import torch
import torchvision
from torch.utils.data import TensorDataset
from torchvision.models import list_models

from eric_fast.capture import capture_activations, load_model

SIDES = {"inception_v3": 299}  # of networks that don't take 224 pixels
HEAD = (
    "| network | layers | the last | its units | predictions equal | s |",
    "|---|---:|---|---:|---|---:|",
)


def describe_network(name: str, n_images: int = 2) -> str:
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
    parser.add_argument("names", nargs="*", help="as in torchvision.models; by default all classifiers")
    names = parser.parse_args().names or list_models(module=torchvision.models)
    print("\n".join(HEAD))
    for name in names:
        print(describe_network(name), flush=True)


if __name__ == "__main__":
    main()
