"""Running commands in tests, and what they are run on."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eric_fast.cli import main

Run = Callable[..., tuple[int, str, str]]
MakeOnce = Callable[[str, Callable[[Path], None]], Path]

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
def eric(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_command(*arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def run_command(*arguments: object) -> int:
    """Run a command in this process, and give its exit code."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["eric-fast", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return 0


@pytest.fixture
def refuse(eric: Run) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, and one line."""

    def run(*arguments: object) -> str:
        code, out, err = eric(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2, (code, out, err)
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0].removeprefix("error: ")

    return run


@pytest.fixture(scope="session")
def made(make_once: MakeOnce) -> Path:
    """A network's file, its captures of digits, and its program, made by the commands themselves."""
    return make_once("made", make_program)


def make_program(root: Path) -> None:
    (root / "net.py").write_text(NETWORK)
    model = f"{root / 'net.py'}:build"
    for arguments in (
        ["capture", model, "digits/train", "-o", root / "train", "--limit", "600", "--json", root / "capture.json"],
        ["capture", model, "digits/test", "-o", root / "test"],
        ["extract", root / "train", "-o", root / "p.lp", "--layers", "all", "--target", "label", "--min-leaf", "20"],
    ):
        assert run_command(*arguments) == 0, arguments


@pytest.fixture(scope="session")
def demo(make_once: MakeOnce) -> Path:
    """A folder with the demo, `eric-demo`, and what it printed, `demo.log`."""
    return make_once("demo", make_demo)


def make_demo(folder: Path) -> None:
    """The demo, as `make demo` leaves it, in `folder/eric-demo`; what it prints in `folder/demo.log`."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
            assert run_command("demo") == 0
    finally:
        os.chdir(before)
    log = printed.getvalue().replace("  eric-fast ", "  .venv/bin/eric-fast ")  # where `make` leaves it
    (folder / "demo.log").write_text(log, encoding="utf-8")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An image folder of two classes, whose second image of the first class is cut short."""
    import torch
    from PIL import Image

    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            noise = torch.randint(256, (8, 8), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(root / name / f"{i}.jpg")
    content = (root / "cat" / "1.jpg").read_bytes()
    (root / "cat" / "1.jpg").write_bytes(content[: len(content) // 2])
    return root
