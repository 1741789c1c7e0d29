"""Fixtures, and the settings that must stand before Triton loads."""

import atexit
import fcntl
import gc
import os
import sys
import tarfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Workers share the cores: each has its part of them for torch's threads, which would wait for each other busily.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // int(workers))))

from hypothesis import settings

from tests.interpreter import choose_interpreter, is_interpreting, spare_interpreter

if TYPE_CHECKING:
    from eric_fast.store.activations import Activations
    from tests.command_fixtures import MakeOnce

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.register_profile("quick", settings.get_profile("fixed"), max_examples=10)
settings.load_profile("fixed")

pytest_plugins = ["tests.command_fixtures"]
SHARED = Path(__file__).resolve().parents[2] / "shared"
N_TRAIN, N_TEST = 2000, 500


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out slow tests, try fewer random examples")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        settings.load_profile("quick")
    has_workers = config.getoption("dist", "no") != "no" and bool(config.getoption("tx", ()))
    is_controller = has_workers and not hasattr(config, "workerinput")
    if not is_controller:  # which runs no tests, and would import torch before its workers do
        choose_interpreter()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: garbage collections would look at all of it, for three seconds, again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("gpu") and is_interpreting():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if {"shared", "cifar"} & fixtures:
            item.add_marker("shared")
        if "cifar" in fixtures:  # which takes 15 s to make
            item.add_marker("slow")
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)  # what takes long begins first: no worker waits for it
    if config.getoption("--quick"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_collection_finish() -> None:
    """A full garbage collection would look at all that was imported, for half a second; there are many."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # not before: pytest collects once more as it ends
    if is_interpreting() and "triton" in sys.modules:
        spare_interpreter()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared beside the checkout, with data and a trained network."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("CI"):
        pytest.fail("../shared is missing; in CI no test may go without it")
    return pytest.skip("needs the data in ../shared, which isn't beside this checkout")


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> "MakeOnce":
    """Make a folder once for all workers: `make_once(name, make)` calls `make(folder)` in the first that asks."""
    base = tmp_path_factory.getbasetemp()
    root = base if worker_id == "master" else base.parent

    def make_folder(name: str, make: Callable[[Path], None]) -> Path:
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = root / name
            if not (folder / "done").exists():
                folder.mkdir()
                make(folder)
                (folder / "done").touch()
        return folder

    return make_folder


@pytest.fixture(scope="session")
def cifar(shared: Path, make_once: "MakeOnce") -> "tuple[Activations, ...]":
    """Activations of 2,000 training and 500 test images of CIFAR-10, all layers of `cifar10_vgg`."""
    from eric_fast import load_activations

    folder = make_once("cifar", lambda root: capture_cifar(shared, root))
    return tuple(load_activations(folder / f"{split}.capture") for split in ("train", "test"))


def capture_cifar(shared: Path, root: Path) -> None:
    from eric_fast import capture_activations, load_model, open_data, save_activations

    per_class = {"train": N_TRAIN // 10, "test": N_TEST // 10}
    with tarfile.open(shared / "data" / "cifar10.tar.gz") as tar:
        for member in tar:
            split, _, name = member.name.partition("/")
            if member.isfile() and int(Path(name).stem) < per_class[split]:
                tar.extract(member, root, filter="data")
    model = load_model(f"{shared / 'models' / 'cifar10_vgg.py'}:build")
    for split in per_class:
        save_activations(capture_activations(model, open_data(root / split), batch_size=100), root / f"{split}.capture")
