"""What a program answers on a source, and how that is scored."""

from collections.abc import Callable, Iterator, Sequence

import torch

from eric_fast.bits import BitMatrix
from eric_fast.errors import ProgramError
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.evaluator.match import check_capture
from eric_fast.kernels import expect
from eric_fast.label_score import LabelScore, score_labels, start_label_tally
from eric_fast.processes import Processes
from eric_fast.program import Program
from eric_fast.program.layer_graph import StartLayers
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import pack_part
from eric_fast.runs.limits import count_images, find_limit
from eric_fast.score import Score, ScoreList, score_tally, start_tally
from eric_fast.store import Part, Source, cut_parts


def evaluate_program(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> Score:
    """Score a program on images: accuracy, fidelity, coverage, size and confusion.

    Args:
        start, engine: see `predict_bits`.
        processes, memory: see `approximate_model`.

    Raises:
        CaptureError: see `check_capture`; there are no images. ProgramError: the program can't start there.
        SettingError: `memory` is too little even for small parts.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> score = ef.evaluate_program(program, ef.load_activations("eric-demo/test"), start="conv4.2")
        >>> score.start_layer, score.n_images, score.fidelity > 0.8
        ('conv4.2', 450, True)
    """
    processes = processes or Processes()
    program.expect_class("this score")
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    tally = start_tally(len(program.classes), source.n_images)
    for part in _claim_parts(parts, processes, progress):
        tally.add(predict(part), part.read_predictions(), part.read_labels())
    return score_tally(program, start, tally.combine(processes.combine))


def evaluate_labels(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> LabelScore:
    """Score a program of several labels: micro and macro F1, and exact match, against the network's and the true ones.

    Args and Raises: see `evaluate_program`.

    Examples:
        >>> atoms = (ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("f", 1, ">", 0.5))
        >>> rules = (ef.ClassRule(0, (0,)), ef.ClassRule(1, (1,)))
        >>> program = ef.Program(ef.Quantiser(atoms), ("cat", "dog"), rules, decision="labels")
        >>> logits = torch.tensor([[2.0, -1.0], [3.0, 1.0], [-1.0, 2.0]]).half()
        >>> settings = ef.CaptureSettings("net", "5eed", "photos", task="multilabel")
        >>> norms = {"f": torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])}
        >>> unknown = torch.full((3,), -1)
        >>> test = ef.Activations(norms, "abc", unknown, logits.argmax(1), ("cat", "dog"), settings, logits=logits)
        >>> ef.evaluate_labels(program, test).fidelity.n_exact
        2
    """
    processes = processes or Processes()
    if not program.decision.gives_labels:
        raise ProgramError(f"a program whose decision is '{program.decision}' has no labels; use evaluate_program")
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    tally = start_label_tally(len(program.classes))
    for part in _claim_parts(parts, processes, progress):
        tally.add(expect(predict(part).labels).cpu(), part.read_logits() > 0, part.read_labels())
    return score_labels(program, start, tally.combine(processes.combine))


def evaluate_chains(
    program: Program,
    source: Source,
    *,
    engine: str = "auto",
    processes: Processes | None = None,
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> ScoreList:
    """Score a program from each of its layers, with what runs beside it, the lowest first: what chaining costs.

    See `evaluate_program`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> scores = ef.evaluate_chains(program, ef.load_activations("eric-demo/test"))
        >>> [score.start_layer for score in scores]
        ['conv1.2', 'conv2.2', 'conv3.2', 'conv4.2']
    """
    scores, starts = ScoreList(), program.list_starts()
    for done, start in enumerate(starts):
        progress("chains", done, len(starts))
        scores.append(evaluate_program(program, source, start=start, engine=engine, processes=processes, memory=memory))
    progress("chains", len(starts), len(starts))
    return scores


def predict_activations(
    program: Program, source: Source, *, start: StartLayers = None, engine: str = "auto"
) -> Predictions:
    """Compute the program's answer on each image of a source; see `iterate_predictions`.

    Examples:
        >>> program = ef.load_program("eric-demo/program.lp")
        >>> found = ef.predict_activations(program, ef.load_activations("eric-demo/test"), start="conv4.2")
        >>> tuple(found.classes.shape), tuple(found.rules.shape)
        ((450,), (450,))
    """
    found = [part for _, part in iterate_predictions(program, source, start=start, engine=engine)]
    empty = torch.zeros(0, dtype=torch.int32)
    classes, rules = (torch.cat([empty, *(getattr(part, name) for part in found)]) for name in ("classes", "rules"))
    labels = [part.labels for part in found if part.labels is not None]
    return Predictions(classes, rules, labels=torch.cat(labels) if labels else None)


def iterate_predictions(
    program: Program,
    source: Source,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    memory: int | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[tuple[Sequence[str], Predictions]]:
    """Compute the program's answers part by part: ids, and classes and rules on the CPU.

    Args:
        start: the layer whose bits are the input, with what runs beside it; or several; the lowest by default. See
            `Program.layer_to_start`.
        engine: see `predict_bits`.
        memory: see `approximate_model`.

    Raises:
        CaptureError: see `check_capture`. ProgramError: the program can't start there.
    """
    parts, predict = _prepare_answers(program, source, start, engine, memory)
    for done, part in enumerate(parts):
        progress("predict", done, len(parts))
        found = predict(part)
        labels = None if found.labels is None else found.labels.cpu()
        yield part.read_ids(), Predictions(found.classes.cpu(), found.rules.cpu(), labels=labels)
    progress("predict", len(parts), len(parts))


def predict_bits(
    program: Program,
    bits: BitMatrix,
    *,
    start: StartLayers = None,
    engine: str = "auto",
    with_scores: bool = False,
    with_bits: bool = False,
) -> Predictions:
    """Compute the program's answers on bits. Use an `Evaluator` to compile the program once for several calls.

    Args:
        bits: the bits of the atoms of layer `start` at least; rows are found by name.
        start: the layer whose bits are the input, with what runs beside it; or several; the lowest by default. See
            `Program.layer_to_start`.
        engine: `reference`, `cpu`, `gpu`, or `auto` (where the bits are).
        with_scores: fill `Predictions.scores`.
        with_bits: fill `Predictions.bits` with the truth of all atoms from `start` up.

    Raises:
        ProgramError: no such layer, or the program can't start there. EricError: the bits lack an atom.
        SettingError: an engine that can't take these bits.

    Examples:
        >>> program = ef.parse_program(PETS)
        >>> bits = ef.BitMatrix.from_bools(torch.tensor([[True, False], [True, True], [False, False]]), ["f:0", "f:1"])
        >>> ef.predict_bits(program, bits).classes.tolist()
        [0, 1, -1]
    """
    evaluator = Evaluator(program, start, engine=engine)
    return evaluator.predict(bits, with_scores=with_scores, with_bits=with_bits)


def _claim_parts(parts: Sequence[Part], processes: Processes, progress: Progress) -> Iterator[Part]:
    """The parts that this process takes of those that several share."""
    for number in processes.claim_items(len(parts)):
        progress("evaluate", number, len(parts))
        yield parts[number]
    progress("evaluate", len(parts), len(parts))


def _prepare_answers(
    program: Program, source: Source, start: StartLayers, engine: str, memory: int | None
) -> tuple[list[Part], Callable[[Part], Predictions]]:
    """The parts of a source, as many images at a time as memory allows, and what answers on each."""
    cut = program.graph.find_start(start)
    check_capture(program, source, cut)
    evaluator = Evaluator(program, cut, engine=engine)
    atoms = [program.network_quantiser.atoms_of_layer(layer) for layer in cut]
    per_image = 8 * sum(source.n_kernels[layer] for layer in cut) + evaluator.plan.n_rows // 8 + 64
    n_images = count_images("evaluating on this capture", find_limit(memory), 0, per_image)

    def predict(part: Part) -> Predictions:
        words = [pack_part(source, part, own) for own in atoms]
        words = words if len(words) == 1 else [torch.cat(words)]
        return evaluator.predict(BitMatrix(words[0], part.n_images, evaluator.inputs))

    return cut_parts(source.parts, n_images), predict
