"""Fixtures, and the settings that must stand before Triton loads."""

import os
import tarfile
from pathlib import Path

import pytest
import torch

# Without a GPU, Triton's kernels run in its interpreter. It warns once about FP fusion, which no kernel here uses.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

pytest_plugins = ["tests.command_fixtures"]
SHARED = Path(__file__).resolve().parents[2] / "shared"
N_TRAIN, N_TEST = 4000, 1000


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if {"shared", "cifar"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("shared")


@pytest.fixture(scope="session")
def shared():
    """The folder ../shared beside the checkout, with data and a trained network."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("CI"):
        pytest.fail("../shared is missing; in CI no test may go without it")
    return pytest.skip("needs the data in ../shared, which isn't beside this checkout")


@pytest.fixture(scope="session")
def cifar(shared, tmp_path_factory):
    """Activations of 4,000 training and 1,000 test images of CIFAR-10, all layers of `cifar10_vgg`."""
    from eric_fast import capture_activations, load_model, open_data

    root = tmp_path_factory.mktemp("cifar")
    per_class = {"train": N_TRAIN // 10, "test": N_TEST // 10}
    with tarfile.open(shared / "data" / "cifar10.tar.gz") as tar:
        for member in tar:
            split, _, name = member.name.partition("/")
            if member.isfile() and int(Path(name).stem) < per_class[split]:
                tar.extract(member, root, filter="data")
    model = load_model(f"{shared / 'models' / 'cifar10_vgg.py'}:build")
    return tuple(capture_activations(model, open_data(root / split), batch_size=100) for split in ("train", "test"))
