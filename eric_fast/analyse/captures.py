"""From a capture on disk to an analysis, also where it holds bits alone."""

from typing import Any

from eric_fast.analyse.study import Analysis, analyse_bits, analyse_program
from eric_fast.errors import CaptureError
from eric_fast.program import Program
from eric_fast.runs import check_capture
from eric_fast.store import Capture
from eric_fast.store.activations import Activations


def analyse_capture(program: Program, capture: Capture, *, start: str | None = None, **settings: Any) -> Analysis:
    """Everything about a program and its kernels on the images of a capture; see `analyse_program`.

    A capture of bits needs no norms: sub-classes are then sought in the bits of the last layer, and the strongest
    images aren't known.

    Raises:
        CaptureError: another model's, other classes, a missing layer, bits of other thresholds than the program's.
    """
    first = program.layer_to_start(start)
    layers = program.layers[program.layers.index(first) :]
    if capture.store != "bits":
        return analyse_program(program, capture.read_activations(layers), start=first, **settings)
    about = Activations({}, capture.ids, capture.labels, capture.predictions, capture.classes, capture.settings)
    check_capture(program, about, [])
    bits = capture.read_bits(layers)
    assert capture.quantiser is not None
    packed = {atom.name: atom for atom in capture.quantiser.atoms}
    for layer in layers:
        for atom in program.network_quantiser.atoms_of_layer(layer):
            stored = packed.get(atom.name)
            if stored != atom:
                what = "aren't there" if stored is None else f"are '{stored.operator} {stored.constant!r}'"
                raise CaptureError(
                    f"{capture.path}: the bits of {atom.name} {what}, the program's "
                    f"'{atom.operator} {atom.constant!r}'; capture with the program's thresholds"
                )
    return analyse_bits(program, bits, capture.predictions, capture.labels, start=first, **settings)
