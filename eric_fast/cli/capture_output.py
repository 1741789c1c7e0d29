"""What `capture` and `pack` share: the capture that is written, its thresholds, and what to do with it next."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eric_fast.cli.inputs import own_name
from eric_fast.errors import SettingError

if TYPE_CHECKING:
    from eric_fast.store import Thresholds

Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The capture to write, or to finish.")]
Anew = Annotated[bool, typer.Option("--force", help="Start over, even if there is a capture.")]
FromThresholds = Annotated[
    Path | None,
    typer.Option(
        "--thresholds", metavar="FILE|DIR", help="For bits: take the thresholds of a program, or of a capture of bits."
    ),
]
FIT_HELP = "mean, '0.6*mean+0.7*std', quantile:0.75, a number, or split (separates the predicted classes best)."


def say_next(data: str, output: Path) -> str:
    """What to do with a capture: score programs on one of test images, by the data's name; else extract one."""
    words = set(re.split("[^a-z]+", data.lower()))
    if words & {"test", "val", "valid", "validation", "eval"} and not words & {"train", "training"}:
        return f"{own_name()} evaluate PROGRAM {output}, where PROGRAM is extracted from a capture of training images"
    return f"{own_name()} extract {output} -o program.lp"


def load_thresholds(path: Path) -> "Thresholds":
    """The thresholds of a program's file, or of a capture of bits."""
    from eric_fast.program import TableQuantiser
    from eric_fast.store import Thresholds, is_capture, open_capture
    from eric_fast.text import load_program

    if not is_capture(path):
        quantiser = load_program(path).quantiser
        if isinstance(quantiser, TableQuantiser):
            raise SettingError(f"{path} is a program over the columns of a table; give one over a network's kernels")
        return Thresholds(quantiser, f"program {path}")
    found = open_capture(path).manifest.thresholds
    if found is None:
        raise SettingError(f"{path} holds norms, which have no thresholds; pack it first, or give --threshold")
    return Thresholds(found.quantiser, f"capture {path}: {found.origin}")
