"""From a program and a capture to the report: what it says, and the folder that it is written to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eric_fast.analyse import Analysis, analyse_bits, find_strongest, measure_effects
from eric_fast.capture import ImageData, LoadedModel, take_model
from eric_fast.class_groups import ClassGroups
from eric_fast.errors import CaptureError, ProgramError, SettingError
from eric_fast.evaluator import Predictions
from eric_fast.evaluator.match import check_capture, check_fingerprint
from eric_fast.output import REPORT, replace_folder, write_marker
from eric_fast.program import Program, TableQuantiser
from eric_fast.program.atoms import NEGATIVE, count_regions
from eric_fast.program.simplify import find_mentioned
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.runs import predict_bits
from eric_fast.score import Score, score_predictions
from eric_fast.show.page.document import (
    describe_images,
    describe_origin,
    describe_start,
    list_starts,
    make_program_document,
    pack_floats,
    pack_ints,
    pick_start,
)
from eric_fast.show.page.findings import describe_effects, describe_subclasses, describe_symbols
from eric_fast.show.page.heat import draw_maps
from eric_fast.show.page.proof_maps import list_proof_maps
from eric_fast.show.page.render import render_page
from eric_fast.show.page.select import choose_images, count_ranks
from eric_fast.show.page.thumbnails import find_images, make_thumbnails, view_images
from eric_fast.show.plots import draw_chain, draw_confusion, draw_kernels
from eric_fast.show.style import save_figure
from eric_fast.store.activations import Activations

PAGE = "index.html"
MOST_IMAGES = 5000
_N_STRONGEST = 12  # images that a kernel's page shows
_MOST_BYTES = 20_000_000  # of the whole page
_SPARE_BYTES = 400_000  # the page's own text, and what isn't counted


@dataclass(frozen=True, eq=False)
class Report:
    """A report that can be written.

    Attributes:
        program: as it is shown, from its lowest layer up.
        start: the layer that the page opens with.
        scores: on all images, from each layer that the program can start from, lowest first.
        analysis: of all images, from `start` up.
        n_embedded: images that the page holds.
        page: its text.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> report = ef.build_report(program, test, start="conv4.2", most_images=20)
        >>> report.start, report.n_embedded, len(report.scores)
        ('conv4.2', 20, 1)
    """

    program: Program
    start: str
    scores: tuple[Score, ...]
    analysis: Analysis
    n_embedded: int
    page: str

    def to_dict(self) -> dict[str, Any]:
        """What `report.json` holds: the score from `start`, and the others under `chains`."""
        score = next(score for score in self.scores if score.start_layer == self.start)
        chains = [each.to_dict(with_confusion=False) for each in self.scores]
        classes = list(self.program.classes)
        return {**score.to_dict(), "classes": classes, "chains": chains, "n_embedded": self.n_embedded}


def build_report(
    program: Program,
    activations: Activations,
    *,
    start: str | None = None,
    data: ImageData | None = None,
    model: LoadedModel | nn.Module | None = None,
    most_images: int = MOST_IMAGES,
    file: str = "program.lp",
    groups: ClassGroups | None = None,
    progress: Progress = ignore_progress,
) -> Report:
    """Everything that the report says of a program on captured images.

    Args:
        program: over the kernels of a network, with classes.
        activations: of all layers of the program from `start` up; another capture than the training images'.
        start: the lowest layer that is shown, and the one that the page opens with. By default all are shown, and it
            opens with the one from which the program agrees best with the model; of a program with class rules for each
            start, the highest start alone is shown.
        data: where the captured images are; without it they are shown by name.
        model: the captured network, to show what it sees, and where its kernels are active; needs `data`.
        most_images: how many are embedded at most, disagreements first.
        groups: of the classes, to show where program and model differ by group, too.
        file: how commands in the page call the program's file.

    Raises:
        CaptureError: see `check_capture`, or there are no images. DataError: see `find_images`.
        ProgramError: a program of another kind. SettingError: a model without data.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> ef.build_report(program, test, start="conv4.2", most_images=20).n_embedded
        20
    """
    _check_kind(program)
    if most_images < 1:
        raise SettingError(f"a report needs room for one image at least, not {most_images}")
    if model is not None and data is None:
        raise SettingError("a model is of use where its images are given, too; give the data")
    start, has_own_votes = start or pick_start(program), bool(program.starts)
    if start is not None:
        start = program.layer_to_start(start)
        program = program.start_at(start)
    check_capture(program, activations, program.layers)
    if not activations.n_images:
        raise CaptureError("the capture has no images to report on")
    if model is not None:
        model = take_model(model)
        check_fingerprint(program, model.fingerprint)
    places = None if data is None else find_images(activations, data)

    bits = quantise_activations(activations, program.network_quantiser)
    answers: dict[str, tuple[Score, Predictions]] = {}
    layers = [program.layer_to_start()] if has_own_votes else list_starts(program)
    for done, layer in enumerate(layers):
        progress("evaluate", done, len(layers))
        predictions = predict_bits(program, bits, start=layer)
        score = score_predictions(program, layer, predictions, activations.predictions, activations.labels)
        answers[layer] = score, predictions
    progress("evaluate", len(layers), len(layers))
    opening = start or max(layers, key=lambda layer: answers[layer][0].fidelity)

    norms = _list_norms(program, activations)
    n_regions = count_regions(activations.settings.grid)  # distances are of whole maps
    whole = {layer: activations.norms[layer][:, ::n_regions] for layer in program.layers}
    analysis = analyse_bits(
        program, bits, activations.predictions, activations.labels, whole, start=opening, progress=progress
    )

    effects = {opening: analysis.effects}
    for layer in layers:
        if layer != opening:
            effects[layer] = measure_effects(
                program, bits, activations.predictions, activations.labels, start=layer, progress=progress
            )

    columns = torch.cat(list(norms.values()), dim=1)  # [n_images, n_atoms]
    disagrees = (answers[opening][1].classes != activations.predictions).numpy()
    sides = torch.tensor([-1.0 if atom.region == NEGATIVE else 1.0 for atom in program.network_quantiser.atoms])
    mentioned = sorted(find_mentioned(program) | set(program.rules_of_atom))
    of_all = find_strongest(columns * sides, _N_STRONGEST)  # [n_atoms, n], of all images
    known = [atom for atom in mentioned if atom < len(of_all)]
    n_ranks = count_ranks(of_all[known].numpy(), most_images, activations.n_images)
    always = np.unique(of_all[known, :n_ranks].numpy())
    embedded = torch.from_numpy(choose_images(disagrees, of_all.T.flatten().tolist(), most_images, always))
    strongest = _find_places(of_all[:, :n_ranks], embedded)
    document: dict[str, Any] = {
        "program": make_program_document(program, file),
        "origin": describe_origin(activations),
        "images": describe_images(activations, embedded, bits),
        "starts": [describe_start(program, *answers[layer], activations, embedded) for layer in layers],
        "start": opening,
        "hasThumbnails": data is not None,
        "embeddedFirst": _describe_choice(disagrees, embedded.numpy(), n_ranks, opening),
        "strongest": {
            "n": strongest.shape[1],
            "images": pack_ints(strongest.numpy()),
            "norms": pack_floats(columns.T.gather(1, of_all[:, :n_ranks]).numpy()),
        },
        "effects": {layer: describe_effects(each) for layer, each in effects.items()},
        "subclasses": describe_subclasses(analysis.subclasses),
        "symbols": describe_symbols(analysis),
    }
    indices = [] if places is None else [places[i] for i in embedded.tolist()]
    if groups is not None:
        document["groups"] = {"names": groups.names, "ofClass": pack_ints(groups.number_of)}
    if model is not None and data is not None and n_ranks:
        key = [row.atom for row in analysis.effects.rank() if row.atom in set(mentioned)]
        shown = list_proof_maps(
            program, (found for _, found in answers.values()), embedded, torch.from_numpy(disagrees)
        )
        document["heat"] = draw_maps(program, key, strongest, model, data, indices, progress, shown)
    summary = _summarise(program, activations, answers[opening][0], file)
    document["summary"] = summary
    room = _MOST_BYTES - _SPARE_BYTES - _measure(document)
    thumbnails: Sequence[str] = ()
    if data is not None:
        if room <= 0:
            raise ProgramError(
                "the program is too large for one page; show less of it with --start, a layer further up"
            )
        thumbnails = make_thumbnails(view_images(data, indices, model, progress), len(indices), room)
    scores = tuple(score for score, _ in answers.values())
    return Report(program, opening, scores, analysis, len(embedded), render_page(document, thumbnails, summary))


def save_report(report: Report, folder: Path, *, force: bool = False, progress: Progress = ignore_progress) -> None:
    """Write `index.html`, `report.json` and the plots as PNG and SVG into `folder`, whole or not at all.

    Raises:
        OutputError: `folder` exists and `force` is false, is no report, or it can't be written.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> from pathlib import Path
        >>> ef.save_report(ef.build_report(program, test, start="conv4.2", most_images=20), Path("page"))
        >>> sorted(path.name for path in Path("page").glob("*.html"))
        ['index.html']
    """
    with replace_folder(folder, force=force, kind=REPORT) as new:
        (new / PAGE).write_text(report.page, encoding="utf-8")
        score = next(score for score in report.scores if score.start_layer == report.start)
        figures = {
            "confusion": draw_confusion(score, report.program.classes),
            "chain": draw_chain(report.scores),
            "kernels": draw_kernels(report.analysis.effects),
        }
        for done, (name, figure) in enumerate(figures.items()):
            progress("plots", done, len(figures))
            for ending in ("png", "svg"):
                save_figure(figure, new / f"{name}.{ending}")
        write_marker(report.to_dict(), new, REPORT)
        progress("plots", len(figures), len(figures))


def _check_kind(program: Program) -> None:
    if isinstance(program.quantiser, TableQuantiser) or not program.layers:
        raise ProgramError("a report is about a program over a network's kernels, and this one is over a table")
    program.expect_class("a report")


def _list_norms(program: Program, activations: Activations) -> dict[str, Tensor]:
    """Layer -> float32 `[n_images, n_atoms]`: the norm that each of its atoms compares."""
    grid = activations.settings.grid
    places = {
        layer: [atom.find_place(grid) for atom in program.network_quantiser.atoms_of_layer(layer)]
        for layer in program.layers
    }
    return {layer: activations.norms[layer][:, of_layer] for layer, of_layer in places.items()}


def _find_places(images: Tensor, embedded: Tensor) -> Tensor:
    """int64, as `images`: where each stands among the embedded ones, which ascend; -1 where it isn't one of them."""
    places = torch.searchsorted(embedded, images.contiguous()).clamp(max=len(embedded) - 1)
    return torch.where(embedded[places] == images, places, -1)


def _describe_choice(disagrees: NDArray[np.bool_], embedded: NDArray[np.int64], n_ranks: int, start: str) -> str:
    if len(embedded) == len(disagrees):
        return ""
    n_differing, n_shown = int(disagrees.sum()), int(disagrees[embedded].sum())
    of = "all" if n_shown == n_differing else f"{n_shown:,} of the"
    strongest = f"the {n_ranks:,} strongest of each kernel that a rule mentions, " if n_ranks else ""
    return f"{strongest}{of} {n_differing:,} on which model and program differ from {start}, and others taken evenly."


def _summarise(program: Program, activations: Activations, score: Score, file: str) -> dict[str, str]:
    model = Path(activations.settings.model.partition(":")[0]).stem or "the network"
    n_rules = f"{score.n_rules:,} rule" + ("" if score.n_rules == 1 else "s")
    return {
        "title": f"{model} as rules",
        "heading": f"{model} as {n_rules}",
        "lead": f"It answers as the network does on {100 * score.fidelity:.1f} % of {score.n_images:,} images.",
        "foot": f"{file} on {activations.n_images:,} images, made by eric_fast; this file loads nothing from anywhere.",
    }


def _measure(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode())
