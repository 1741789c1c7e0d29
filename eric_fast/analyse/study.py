"""`Analysis`: everything about a program on a set of images that tables, JSON files and reports show."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from eric_fast.analyse.effects import Effects, measure_effects
from eric_fast.analyse.relations import Coactivation, Links, list_links, measure_coactivation
from eric_fast.analyse.sets import pack_classes
from eric_fast.analyse.subclasses import Subclasses, measure_subclasses
from eric_fast.analyse.symbolic import Symbol, find_strongest, list_symbols
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, say_count
from eric_fast.evaluator.match import check_capture
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program
from eric_fast.program.atoms import count_regions
from eric_fast.program.layer_graph import name_start
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.results.described import Described
from eric_fast.results.tabular import Columns, Tabular, turn_rows
from eric_fast.store import Source, read_labels, read_layer, read_predictions

N_STRONGEST = 9
_FORCED = ("when_false", "when_true", "when_swapped")
LEAST_PHI = 0.9  # from here on, two kernels are called redundant, or complementary if it is negative


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Described, Tabular, PickledByFields):
    """An analysis of a program and its kernels on a set of images.

    Attributes:
        program: the whole program, of its class rules those for `start_layer`; indices are its own.
        start_layer: the layer whose bits are given.
        n_images: images that everything was counted on.
        effects: effects of forcing each bit, from the start layer up.
        links: which rules mention which atoms.
        subclasses: the images that each class rule covers.
        coactivation: layer, from the start layer up -> its kernels, each with each other, by the network's bits.
        by_class: layer, from the start layer up -> its kernels, by the network's bits, with the model's classes.
        by_rule: the highest layer's kernels, by the network's bits, with the images that each rule covers, named
            as in `subclasses`.
        strongest: layer -> int64 `[n_kernels, n]`, the images on which the norm of each kernel of the network is
            highest; empty if only bits are known.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> analysis = ef.analyse_program(program, test, start="conv4.2", n_permutations=19)
        >>> analysis.start_layer, analysis.n_images, analysis.strongest["conv4.2"].shape[0]
        ('conv4.2', 450, 64)
    """

    program: Program
    start_layer: str
    n_images: int
    effects: Effects
    links: Links
    subclasses: Subclasses
    coactivation: Mapping[str, Coactivation]
    by_class: Mapping[str, Coactivation]
    by_rule: Coactivation
    strongest: Mapping[str, Tensor]

    def list_facts(self) -> Iterator[str]:
        yield f"from {self.start_layer}"
        yield say_count(self.n_images, "image")
        yield say_count(len(self.subclasses.list_found()), "sub-class")

    def __post_init__(self) -> None:
        for name in ("coactivation", "by_class", "strongest"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def list_class_symbols(self) -> list[Symbol]:
        """List kernels of all layers that stand for a class, the highest phi first; see `list_symbols`."""
        symbols = [symbol for selectivity in self.by_class.values() for symbol in list_symbols(selectivity)]
        return sorted(symbols, key=lambda symbol: -symbol.phi)

    def list_rule_symbols(self) -> list[Symbol]:
        """List kernels of the highest layer that stand for one of `subclasses.list_found()`, named by its rule."""
        return list_symbols(self.by_rule.select_columns(row.name for row in self.subclasses.list_found()))

    def list_tables(self) -> dict[str, Columns]:
        """`kernels`, by what fidelity loses; `subclasses`, a row a rule; `symbols`: what kernels stand for."""
        use, names = self.links.use_in_classes().sum(axis=1), self.program.classes
        kernels = [
            {
                "kernel": row.name,
                "label": self.program.label_of_atom.get(row.atom),
                "share_true": row.share_true,
                "use_in_classes": float(use[row.atom]),
                **{f"fidelity_{how.removeprefix('when_')}": getattr(row, how).fidelity for how in _FORCED},
                **{f"changed_{how.removeprefix('when_')}": getattr(row, how).changed for how in _FORCED},
                "p_value": row.p_value,
            }
            for row in self.effects.rank()
        ]
        found = set(self.subclasses.list_found())
        subclasses = [
            {**row.to_dict(), "rule": row.rule + 1, "class": names[row.class_index], "is_found": row in found}
            for row in self.subclasses.rows
        ]
        symbols = [symbol.to_dict() for symbol in (*self.list_class_symbols(), *self.list_rule_symbols())]
        tables = {"kernels": kernels, "subclasses": subclasses, "symbols": symbols}
        return {name: turn_rows(rows) for name, rows in tables.items()}

    def to_dict(self) -> dict[str, Any]:
        """Build what `--json` writes."""
        use, names = self.links.use_in_classes(), self.program.classes
        kernels = [
            {
                **row.to_dict(),
                "label": self.program.label_of_atom.get(row.atom),
                "use_in_classes": float(use[row.atom].sum()),
                "by_class": _list_classes_changed(self.effects, row.atom),
            }
            for row in self.effects.rank()
        ]
        return {
            "start_layer": self.start_layer,
            "n_images": self.n_images,
            "classes": list(names),
            "fidelity": self.effects.now.fidelity,
            "accuracy": self.effects.now.accuracy,
            "kernels": kernels,
            "key_kernels": [row.name for row in self.effects.list_key()],
            "links": self._list_links(),
            "relations": {layer: _describe_pairs(pairs) for layer, pairs in self.coactivation.items()},
            "subclasses": [
                {**row.to_dict(), "rule": row.rule + 1, "class": names[row.class_index]} for row in self.subclasses.rows
            ],
            "subclass_test": {
                "space": self.subclasses.space,
                "n_permutations": self.subclasses.n_permutations,
                "seed": self.subclasses.seed,
                "adjustment": "Benjamini-Hochberg",
                "n_rules_left_out": self.subclasses.n_left_out,
            },
            "class_symbols": [symbol.to_dict() for symbol in self.list_class_symbols()],
            "rule_symbols": [symbol.to_dict() for symbol in self.list_rule_symbols()],
        }

    def _list_links(self) -> list[dict[str, Any]]:
        links, n_atoms = self.links, self.links.n_atoms
        columns = (links.heads, links.atoms, links.n_positive, links.n_negative, links.weights, links.fires)
        return [
            {
                **({"class": self.program.classes[h - n_atoms]} if h >= n_atoms else {"head": self._name(h)}),
                "kernel": self._name(atom),
                "n_positive": positive,
                "n_negative": negative,
                "weight": weight,
                "fires": fires,
            }
            for h, atom, positive, negative, weight, fires in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _name(self, atom: int) -> str:
        return self.program.atoms[atom].name


def analyse_program(program: Program, source: Source, *, start: str | None = None, **settings: Any) -> Analysis:
    """Analyse a program and its kernels on images, best not those that it was extracted from.

    Without norms, sub-classes are looked for in the bits of the last layer, and the strongest images are not known.

    Args:
        source: with all layers of the program from `start` (the lowest by default) up.
        settings: see `analyse_bits`.

    Raises:
        CaptureError: see `check_capture`; no images. ProgramError: see `measure_effects`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> analysis = ef.analyse_program(program, ef.load_activations("eric-demo/test"), start="conv4.2")
        >>> analysis.start_layer, analysis.n_images
        ('conv4.2', 450)
    """
    first, layers = program.layer_to_start(start), program.layers_from(start)
    check_capture(program, source, layers)
    n_regions = count_regions(source.settings.grid)  # distances and images are of whole maps
    return analyse_bits(
        program,
        quantise_activations(source, program.network_quantiser, layers),
        read_predictions(source),
        read_labels(source),
        {layer: read_layer(source, layer)[:, ::n_regions] for layer in layers} if source.has_norms else None,
        start=first,
        **settings,
    )


def analyse_bits(
    program: Program,
    bits: BitMatrix,
    model_predictions: Tensor,
    labels: Tensor | None = None,
    norms: Mapping[str, Tensor] | None = None,
    *,
    start: str | None = None,
    n_permutations: int = 999,
    seed: int = 0,
    engine: str = "auto",
    progress: Progress = ignore_progress,
) -> Analysis:
    """Analyse a program and its kernels from bits, with or without norms.

    Args:
        program: a program that answers with a class.
        bits: of all layers of the program from `start` up; rows are found by name.
        model_predictions: int64 `[n_images]`, the model's classes.
        labels: int64 `[n_images]`, `UNKNOWN` where not known.
        norms: layer -> float32 `[n_images, n_kernels]`, to find the strongest images and to measure distances on.
        start: the layer whose bits are given; the lowest by default.
        n_permutations: see `measure_subclasses`.
        seed: see `measure_subclasses`.
        engine: see `Evaluator`.
        progress: told how far the work is.

    Raises:
        CaptureError: there are no images.
        ProgramError: see `measure_effects`.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> bits = ef.quantise_activations(test, program.quantiser)
        >>> ef.analyse_bits(program, bits, test.predictions, start="conv4.2", n_permutations=19).n_images
        450
    """
    norms = norms or {}
    if bits.n_samples == 0:
        raise CaptureError("there are no images to analyse the program on")
    first = program.layer_to_start(start)
    program = program.select_start(first)
    layers = program.layers_from(first)
    own = {layer: bits.select_atoms(program.quantiser.names_of_layer[layer]) for layer in layers}
    classes = pack_classes(model_predictions.to(bits.words.device), program.classes)
    subclasses = measure_subclasses(
        program,
        bits,
        model_predictions,
        norms.get(name_start(program.graph.highest)),
        start=first,
        n_permutations=n_permutations,
        seed=seed,
        engine=engine,
        progress=progress,
    )
    highest = [program.atoms[atom].name for atom in program.list_given(program.graph.highest)]
    covered = subclasses.covered.to(bits.words.device)
    return Analysis(
        program=program,
        start_layer=first,
        n_images=bits.n_samples,
        effects=measure_effects(
            program, bits, model_predictions, labels, start=first, engine=engine, progress=progress
        ),
        links=list_links(program, bits, start=first, engine=engine),
        subclasses=subclasses,
        coactivation={layer: measure_coactivation(own[layer], engine=engine) for layer in layers},
        by_class={layer: measure_coactivation(own[layer], classes, engine=engine) for layer in layers},
        by_rule=measure_coactivation(bits.select_atoms(highest), covered, engine=engine),
        strongest={layer: find_strongest(norms[layer], N_STRONGEST) for layer in layers if layer in norms},
    )


def _list_classes_changed(effects: Effects, atom: int) -> list[dict[str, Any]]:
    """List classes for which forcing the bit changes a number: images that agree and are correct, forced and not."""
    place = int(np.flatnonzero(effects.atoms == atom)[0])
    agrees, correct = effects.agrees[place], effects.correct[place]
    differs = ((agrees != effects.agrees_now) | (correct != effects.correct_now)).any(axis=0)
    return [
        {
            "class": effects.program.classes[c],
            "agrees": int(effects.agrees_now[c]),
            "agrees_when_false": int(agrees[0, c]),
            "agrees_when_true": int(agrees[1, c]),
            "correct": int(effects.correct_now[c]),
            "correct_when_false": int(correct[0, c]),
            "correct_when_true": int(correct[1, c]),
        }
        for c in np.flatnonzero(differs).tolist()
    ]


def _describe_pairs(pairs: Coactivation) -> dict[str, Any]:
    return {
        "redundant": [pair.to_dict() for pair in pairs.list_redundant(LEAST_PHI)],
        "complementary": [pair.to_dict() for pair in pairs.list_complementary(LEAST_PHI)],
        "never_true": pairs.list_never_true(),
        "always_true": pairs.list_always_true(),
    }
