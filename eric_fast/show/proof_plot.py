"""An explanation as one picture: the image, the kernels of the proof over it, and their norms against thresholds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eric_fast.capture.heat import COLOURS, draw_heat_map
from eric_fast.errors import require_package
from eric_fast.explain.content import name_class
from eric_fast.explain.explanation import Explanation, list_drawn
from eric_fast.program.atoms import NEGATIVE, InputAtom
from eric_fast.program.words import name_atom
from eric_fast.show.style import BLUE, GREY, ORANGE, STYLE, check_plot, save_figure
from eric_fast.visible import make_visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_N_COLUMNS = 4
SMALL: dict[Any, Any] = {**STYLE, "font.size": 8, "axes.titlesize": 8, "axes.grid": False}
_LONGEST = 34  # characters of a name in a title


def save_explanation(explanation: Explanation, path: Path, *, force: bool = False) -> None:
    """Draw it to `path`, PNG or SVG by its ending, whole or not at all; it must have its maps.

    Raises:
        SettingError: another ending. OutputError: `path` exists and `force` is false, or it can't be written.
    """
    check_plot(path)
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context

    with rc_context(SMALL):
        figure = draw_explanation(explanation)
    save_figure(figure, path, force=force)


def draw_explanation(explanation: Explanation) -> "Figure":
    """The picture. `explanation.maps` must be there."""
    require_package("matplotlib", "drawing a picture")
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    assert explanation.maps is not None
    atoms = list_drawn(explanation)
    n_rows = -(-(1 + len(atoms)) // _N_COLUMNS)
    figure = Figure(figsize=(2.1 * _N_COLUMNS + 3.6, max(3.2, 2.35 * n_rows + 0.7)), layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=(2.1 * _N_COLUMNS, 3.6))
    pictures, bars = parts
    panels = pictures.subplots(n_rows, _N_COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    panels[0].imshow(explanation.maps.images[0].numpy(), interpolation="nearest")
    panels[0].set_title("the image,\nas the network sees it")
    for panel, atom in zip(panels[1:], atoms, strict=False):
        _draw_kernel(panel, explanation, atom)
    if atoms:
        scale = pictures.colorbar(ScalarMappable(cmap=COLOURS), ax=panels[:_N_COLUMNS].tolist(), shrink=0.9, pad=0.01)
        scale.set_label("activation (1: the map's highest,\nor its threshold if that is higher)")
    _draw_norms(bars, explanation, atoms)
    figure.suptitle(_write_title(explanation, len(atoms)), fontsize=9)
    return figure


def _write_title(explanation: Explanation, n_drawn: int) -> str:
    program = explanation.program
    label = name_class(program, explanation.label) or "unknown"
    said = name_class(program, explanation.proof.answer) or "nothing"
    model = program.classes[explanation.model_class]
    text = f"{_shorten(explanation.image, 60)}, label {_shorten(label)}: the model says {_shorten(model)}, "
    text += f"the program {_shorten(said)}"
    n_kernels = sum(isinstance(program.atoms[atom], InputAtom) for atom in explanation.proof.list_reasons())
    of_all = f"the first {n_drawn} of {n_kernels} kernels" if n_kernels > n_drawn else "the kernels"
    return f"{text}\n{of_all} in the proof; white line: activation above the threshold of the norm"


def _draw_kernel(panel: "Axes", explanation: Explanation, atom: InputAtom) -> None:
    program, maps = explanation.program, explanation.maps
    assert maps is not None
    number = program.atoms.index(atom)
    activation = maps.find_map(0, atom.layer, atom.column)
    threshold = None if atom.operator == "==" else atom.constant
    if atom.operator == "<=":  # bright is where it is true
        activation, threshold = -activation, -atom.constant
    norm = program.network_quantiser.norm
    panel.imshow(np.asarray(draw_heat_map(maps.images[0], activation, threshold=threshold, norm=norm, size=320)))
    truth = "true" if explanation.proof.steps[number].is_true else "false"
    value = explanation.norms[number]
    sign = ">" if value > atom.constant else "<="
    panel.set_title(f"{_shorten(name_atom(program, number))}\n{truth}: norm {value:.3g} {sign} {atom.constant:.3g}")


def _draw_norms(figure: Any, explanation: Explanation, atoms: list[InputAtom]) -> None:
    """Bars of norm over threshold: true where they pass 1, for thresholds above 0, or on the other side of it."""
    program, axes = explanation.program, figure.subplots()
    numbers = [program.atoms.index(atom) for atom in atoms]
    shares = [
        explanation.norms[number] / atom.constant if atom.constant > 0 or atom.region == NEGATIVE else np.nan
        for number, atom in zip(numbers, atoms, strict=True)
    ]
    places = range(len(atoms))
    for is_true, colour, hatch in ((True, BLUE, ""), (False, ORANGE, "///")):
        rows = [place for place in places if explanation.proof.steps[numbers[place]].is_true == is_true]
        axes.barh(
            rows,
            [shares[row] for row in rows],
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label="true in the program" if is_true else "false in the program",
        )
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_yticks(places, [_shorten(name_atom(program, number)) for number in numbers])
    axes.invert_yaxis()
    axes.set_xlabel(f"{program.network_quantiser.norm} norm / threshold")
    axes.set_ylabel("kernel")
    axes.set_title("norms against thresholds")
    if atoms:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _shorten(text: str, most: int = _LONGEST) -> str:
    text = make_visible(" ".join(text.split())).replace("$", r"\$")  # a dollar would begin a formula
    return text if len(text) <= most else f"{text[: most - 3]}..."
