"""The networks that programs are measured on, and their captures, made once and kept in .cache/."""

from dataclasses import replace
from pathlib import Path

from bench.harness import CACHE, ROOT, SHARED, unpack_shared
from bench.small_cnn import train_small
from eric_fast.capture import capture_activations, load_model, open_data
from eric_fast.demo.run import train_digits
from eric_fast.progress import Progress
from eric_fast.store import is_capture, load_activations, save_activations
from eric_fast.store.activations import Activations

VGG, SMALL, DIGITS = "cifar10_vgg", "small CNN", "digits"


def load_both(network: str, grid: int, progress: Progress) -> tuple[Activations, Activations]:
    """The captures of a network's training and test images, all layers and the outputs."""
    data: str | Path = unpack_shared("cifar10.tar.gz", "cifar10") if network != DIGITS else "digits"
    if network == VGG:
        path = SHARED / "models" / "cifar10_vgg.py"
    elif network == SMALL:
        train_small(f"{data}/train", progress)
        path = ROOT / "bench" / "small_cnn.py"
    else:
        path = CACHE / "digits_cnn.py"
        if not path.with_suffix(".safetensors").exists():
            train_digits(path, progress=progress)
    folder = CACHE / (network.replace(" ", "_").lower() + ("_quarters" if grid == 2 else ""))
    train, test = (_capture(path, f"{data}/{split}", folder / split, grid, progress) for split in ("train", "test"))
    return train, test


def _capture(path: Path, data: str, folder: Path, grid: int, progress: Progress) -> Activations:
    model = load_model(f"{path}:build")
    if is_capture(folder):
        activations = load_activations(folder)
        if activations.settings.fingerprint == model.fingerprint and activations.has_logits:
            return activations
    model = replace(model, name=f"{path.name}:build")
    activations = capture_activations(model, open_data(data), batch_size=250, grid=grid, progress=progress)
    save_activations(activations, folder, force=True)
    return activations
