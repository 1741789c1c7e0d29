"""What all plots share: their style, and how they become a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eric_fast.errors import SettingError, require_package
from eric_fast.output import replace_file
from eric_fast.visible import make_visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
# Okabe and Ito's colours, told apart by every kind of eye; what they tell, a marker, a line or a word tells too.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "eric_fast",  # the same picture is the same file
}


def escape_math(name: str) -> str:
    """A name from outside, so that matplotlib takes no `$` in it for mathematics, and draws no control characters."""
    return make_visible(name).replace("$", r"\$")


def check_plot(path: Path) -> None:
    """Refuse a picture's file whose ending isn't one of `ENDINGS`.

    Raises:
        SettingError: which endings there are.
    """
    if path.suffix.lower() not in ENDINGS:
        raise SettingError(f"{path} is to be a picture, and must end in {' or '.join(ENDINGS)}")


def save_figure(figure: "Figure", path: Path, *, force: bool = False) -> None:
    """Write a figure, PNG or SVG by the path's ending, whole or not at all.

    Raises:
        SettingError: another ending. OutputError: `path` exists and `force` is false, or it can't be written.
    """
    check_plot(path)
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context

    kind = path.suffix.lower()[1:]
    metadata: Any = {"Date": None} if kind == "svg" else {"Software": None}  # nothing that changes with time or version
    with replace_file(path, force=force) as part, rc_context(STYLE):
        figure.savefig(part, format=kind, dpi=200, metadata=metadata)
