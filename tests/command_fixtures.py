"""Running commands in tests, and what they are run on."""

import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image

from eric_fast.cli import main

NETWORK = """
import torch
from torch import nn
CLASSES = [str(i) for i in range(10)]
def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
def without_convolutions():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def not_a_number():
    model = build()
    model[0].weight.data[3] = float("nan")
    return model
"""
GREY = """
from torchvision.transforms import v2
def transform():
    return v2.Compose([v2.Grayscale(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
"""


@pytest.fixture
def eric(monkeypatch, capsys):
    """Run a command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["eric-fast", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refuse(eric):
    """Run a command that must be refused: exit code 2, and one line."""

    def run(*arguments):
        code, out, err = eric(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2, (code, out, err)
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0].removeprefix("error: ")

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A network's file, its captures of digits, and its program, made by the commands themselves."""
    root = tmp_path_factory.mktemp("made")
    (root / "net.py").write_text(NETWORK)
    model = f"{root / 'net.py'}:build"
    for arguments in (
        ["capture", model, "digits/train", "-o", root / "train", "--limit", "600", "--json", root / "capture.json"],
        ["capture", model, "digits/test", "-o", root / "test"],
        ["extract", root / "train", "-o", root / "p.lp", "--layers", "all", "--target", "label", "--min-leaf", "20"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "eric_fast", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def photos(tmp_path):
    """An image folder of two classes, whose second image of the first class is cut short."""
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            noise = torch.randint(256, (8, 8), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(root / name / f"{i}.jpg")
    content = (root / "cat" / "1.jpg").read_bytes()
    (root / "cat" / "1.jpg").write_bytes(content[: len(content) // 2])
    return root
