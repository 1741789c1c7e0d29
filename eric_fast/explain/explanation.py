"""`Explanation`: why a program gives one image its class, with everything that is shown about it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from eric_fast.bits import BitMatrix
from eric_fast.capture import ImageData, LoadedModel, capture_activations, take_model
from eric_fast.capture.data import DataPart
from eric_fast.capture.labels import find_label, find_truth
from eric_fast.capture.maps import FeatureMaps, capture_maps
from eric_fast.errors import ProgramError, say_count, suggest_nearest
from eric_fast.evaluator import Evaluator
from eric_fast.evaluator.match import check_capture, check_fingerprint
from eric_fast.explain.check import check_proof
from eric_fast.explain.counterfactual import Counterfactual, find_counterfactuals, list_fixed
from eric_fast.explain.proof import Proof, prove_answers
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program
from eric_fast.program.atoms import InputAtom
from eric_fast.program.label_programs import find_label_index
from eric_fast.program.layer_graph import StartLayers, name_start
from eric_fast.quantise import quantise_activations
from eric_fast.results.described import Described
from eric_fast.store.activations import UNKNOWN, Activations

logger = logging.getLogger(__name__)
MOST_MAPS = 12


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Described, PickledByFields):
    """Why a program answers as it does on one image.

    Attributes:
        program: the program.
        image: the image's name.
        label: the image's class, or `UNKNOWN`.
        model_class: the network's answer.
        proof: of the program's answer (`proof.answer`), checked.
        norms: atom -> the norm of its kernel in the network, for every layer from `proof.start` up.
        model_bits: atom -> its truth in the network, by that norm. Above the start layer, the program may derive the
            opposite: there it departs from the network.
        top_bits: atom of the highest layer -> its truth in the program; counterfactuals flip these.
        counterfactuals: for each other class, or for the nearest of many, checked; see `find_counterfactuals`.
        against: the class that the answer is compared with; None: all others.
        note: which bits of lower layers counterfactuals leave as they are, as class rules mention them; often empty.
        maps: of the image and of the kernels of `list_drawn`; None if not asked for.
    """

    program: Program
    image: str
    label: int
    model_class: int
    proof: Proof
    norms: Mapping[int, float]
    model_bits: Mapping[int, bool]
    top_bits: Mapping[int, bool]
    counterfactuals: tuple[Counterfactual, ...]
    note: str = ""
    against: int | None = None
    maps: FeatureMaps | None = None

    def list_facts(self) -> Iterator[str]:
        names = (*self.program.classes, "nothing")
        yield f"image {self.image}"
        yield f"the program answers {names[self.proof.answer]}"
        yield f"the network {names[self.model_class]}"
        yield say_count(len(self.counterfactuals), "counterfactual")

    def __post_init__(self) -> None:
        for name in ("norms", "model_bits", "top_bits"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        assert self.label == UNKNOWN or 0 <= self.label < len(self.program.classes)
        assert 0 <= self.model_class < len(self.program.classes)

    @property
    def flip_layer(self) -> str:
        """The layer whose bits counterfactuals flip: the highest; several, with commas between."""
        return name_start(self.program.graph.highest)

    def list_departures(self) -> list[int]:
        """List the atoms of the proof whose truth differs between program and network."""
        return [
            atom
            for atom, step in self.proof.steps.items()
            if atom in self.model_bits and step.is_true != self.model_bits[atom]
        ]


def explain_image(
    program: Program,
    model: LoadedModel | nn.Module,
    data: ImageData,
    index: int,
    *,
    start: StartLayers = None,
    against: str | None = None,
    label: str | None = None,
    with_maps: bool = True,
    **settings: Any,
) -> Explanation:
    """Explain what the program answers on image `index` of `data`.

    The network runs on this image alone, so a norm may differ in its last digits from that of a capture, where it ran
    in a batch.

    Args:
        program: a program over the kernels of `model` that answers with a class.
        model: as of `capture_activations`.
        data: from `open_data` or `pick_image`.
        index: place of the image in `data`.
        start: the layer whose bits are given; the lowest by default. See `Program.layer_to_start`.
        against: the name of a class: why this answer, and not that one?
        label: of a program of several labels, the one to explain; see `Program.select_label`.
        with_maps: fill `Explanation.maps`.
        settings: `dtype`, `device` and `memory_format`, as of `capture_activations`.

    Raises:
        CaptureError: the program was extracted from another model, or with another norm.
        ProgramError: the program is over a table, doesn't answer with a class, can't start there, or has no class
            `against`.
        ModelError: see `capture_activations`.
        DataError: see `capture_activations`.

    Examples:
        >>> program, model = ef.load_program("eric-demo/program.lp"), ef.load_model("eric-demo/digits_cnn.py:build")
        >>> data = ef.open_data("digits/test")
        >>> explanation = ef.explain_image(program, model, data, 3, start="conv4.2", with_maps=False)
        >>> explanation.image, len(explanation.counterfactuals) > 0
        ('digits/0034', True)
    """
    model, start = take_model(model), program.layer_to_start(start)
    has_labels = program.decision.gives_labels
    if has_labels:
        find_label_index(program.classes, label, "an explanation")
    truth = None
    if has_labels and label is not None:
        truth = find_truth(data, index, program.classes, label)
    program = program.select_label(label) if label is not None else program
    _ = program.network_quantiser  # refuses a table's
    if against is not None and against not in program.classes:
        raise ProgramError(f"'{against}' is not a class of this program{suggest_nearest(against, program.classes)}")
    rival = None if against is None else program.classes.index(against)
    program = program.select_start(start)
    check_fingerprint(program, model.fingerprint)
    layers = list(program.layers_from(start))
    image = DataPart(data, [index], with_labels=False)
    quantiser = program.network_quantiser
    activations = capture_activations(model, image, layers=layers, norm=quantiser.norm, grid=quantiser.grid, **settings)
    if has_labels and label is not None:
        activations = activations.select_label(label)
    check_capture(program, activations, layers)
    bits = quantise_activations(activations, program.network_quantiser, layers)
    evaluator = Evaluator(program, start)
    (proof,) = prove_answers(program, bits, start, evaluator=evaluator)
    atoms = [atom for layer in layers for atom in quantiser.rows_of_layer[layer]]
    model_bits = dict(zip(atoms, bits.to_bools()[0].tolist(), strict=True))
    check_proof(program, {atom for atom, is_true in model_bits.items() if is_true}, proof)
    top_bits = _derive_bits(evaluator, bits, program.list_given(program.graph.highest))
    fixed_bits = _derive_bits(evaluator, bits, list_fixed(program))
    is_top = program.graph.find_start(start) == program.graph.highest
    found = find_counterfactuals(
        program,
        {**top_bits, **fixed_bits},
        proof.answer,
        against=rival,
        evaluator=evaluator if is_top else None,
    )
    explanation = Explanation(
        program=program,
        image=data.ids[index],
        label=find_label(data, index, program.classes) if truth is None else truth,
        model_class=int(activations.predictions[0]),
        proof=proof,
        norms=_list_norms(program, activations, model_bits),
        model_bits=model_bits,
        top_bits=top_bits,
        counterfactuals=found,
        note=_describe_fixed(program, list(fixed_bits)),
        against=rival,
    )
    if not with_maps:
        return explanation
    kernels: dict[str, list[int]] = {}
    for atom in list_drawn(explanation):
        kernels.setdefault(atom.layer, []).append(atom.column)
    return replace(explanation, maps=capture_maps(model, data, [index], kernels, **settings))


def list_drawn(explanation: Explanation) -> list[InputAtom]:
    """List the kernels to draw: the first ones of `Proof.list_reasons`, up to `MOST_MAPS`."""
    atoms = (explanation.program.atoms[atom] for atom in explanation.proof.list_reasons())
    return [atom for atom in atoms if isinstance(atom, InputAtom)][:MOST_MAPS]


def _list_norms(program: Program, activations: Activations, atoms: Mapping[int, bool]) -> dict[int, float]:
    norms = {}
    for number in atoms:
        atom = program.atoms[number]
        assert isinstance(atom, InputAtom)
        norms[number] = float(activations.norms[atom.layer][0, atom.find_place(activations.settings.grid)])
    return norms


def _derive_bits(evaluator: Evaluator, bits: BitMatrix, atoms: Sequence[int]) -> dict[int, bool]:
    """Derive the truth of these atoms."""
    truth = evaluator.truth(bits, [evaluator.program.atoms[atom].name for atom in atoms])
    return dict(zip(atoms, truth.to_bools()[0].tolist(), strict=True))


def _describe_fixed(program: Program, atoms: Sequence[int]) -> str:
    """`the bits of conv3 that class rules mention stay as they are`; empty without any."""
    layers = dict.fromkeys(program.atoms[atom].layer for atom in atoms)
    return f"the bits of {', '.join(layers)} that class rules mention stay as they are" if layers else ""
