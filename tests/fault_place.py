"""A capture by the command line that `tests/faults.py` disturbs: beginning it, waiting for it, and looking at it."""

import contextlib
import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from eric_fast.cli import main as run_command
from eric_fast.store import MANIFEST, verify_capture
from tests.disturb import SECONDS, wait_for
from tests.torchrun import Started, start_torchrun

SHARD_SIZE = 1024
NETWORK = """
import torch
from torch import nn
def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
"""


class Place:
    """A network, images, and the capture that an undisturbed run makes of them."""

    def __init__(self, root: Path, rng: random.Random, n_kills: int, n_flips: int, n_images: int) -> None:
        self.root, self.rng, self.n_kills, self.n_flips, self.n_images = root, rng, n_kills, n_flips, n_images
        (root / "net.py").write_text(NETWORK)
        noise = np.random.default_rng(0).integers(0, 256, (n_images, 8, 8, 3), dtype=np.uint8)
        for name in ("cat", "dog"):
            (root / "images" / name).mkdir(parents=True)
        for i, pixels in enumerate(noise):
            Image.fromarray(pixels).save(root / "images" / ("cat", "dog")[i % 2] / f"{i:05d}.jpg")
        begin = time.perf_counter()
        code, said = wait(self.start("whole"))
        self.seconds = time.perf_counter() - begin
        assert code == 0, said
        self.whole = read_folder(root / "whole")

    def start(self, name: str | Path, *options: str) -> tuple[int, io.BufferedRandom]:
        """Begin the capture of this name; gives the process, and what it says."""
        said = tempfile.TemporaryFile()  # noqa: SIM115  until the process is waited for
        process = os.fork()
        if process:
            return process, said
        os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        sys.argv = ["eric-fast", *self.list_arguments(name), *options]
        code = 1
        try:
            run_command()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)

    def list_arguments(self, name: str | Path) -> list[str]:
        """Of the command that makes the capture of this name."""
        what = ["capture", f"{self.root / 'net.py'}:build", str(self.root / "images"), "--batch-size", "256"]
        return [*what, "--shard-size", str(SHARD_SIZE), "-o", str(self.root / name)]

    def start_ranks(self, name: str) -> Started:
        """Begin the capture of this name in two processes under torchrun."""
        return start_torchrun(2, "-m", "eric_fast", *self.list_arguments(name))

    def finish(self, name: str | Path) -> None:
        """Give the command again, and compare."""
        code, said = wait(self.start(name))
        assert code == 0, said
        assert read_folder(self.root / name) == self.whole, f"{name} is not what an undisturbed run makes"


def wait(started: tuple[int, io.BufferedRandom]) -> tuple[int, str]:
    """The exit code of a process, negative where a signal killed it, and what it said."""
    process, said = started
    code = wait_for(process)
    with said:
        said.seek(0)
        return code, said.read().decode()


def read_folder(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def wait_for_shard(path: Path, number: int) -> None:
    end = time.monotonic() + SECONDS
    while not (path / f"shard-{number:05d}.json").exists():
        assert time.monotonic() < end, "no shard comes"
        time.sleep(0.002)


def check_no_half_shard(path: Path) -> None:
    """Every shard that is known is whole."""
    if (path / MANIFEST).exists():
        wrong = {reason for reason in verify_capture(path).wrong.values() if reason != "was not written yet"}
        assert not wrong, wrong
