"""FoldClassifier beside the package foldrm: rules, answers and accuracy on four public data sets, over ten splits each.

Rules differ from the first tie on, which the two break differently, and after a rule that is wrong on some samples:
foldrm goes on learning from these. The data are the rows in ../shared/fixtures/foldrm: four fifths to learn from, the
rest to score on. Then the time to learn class rules from the last layer's bits of a network on 50,000 images; foldrm
takes minutes, so it is timed with --full alone. Without foldrm (`pip install foldrm`) our own figures alone are
measured.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from statistics import mean
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.foldrm import NAMES, load_table, to_foldrm
from bench.harness import SHARED, describe_machine, time_runs
from bench.networks import VGG, load_both
from bench.screen import make_table
from eric_fast import FoldClassifier
from eric_fast.evaluator import Evaluator
from eric_fast.extract import ExtractOptions, extract_program
from eric_fast.progress import ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.show.console import stdout
from eric_fast.training import find_quantiser, select_training

N_SEEDS = 10
TRAIN = 0.8
RATIO = 0.5
CLOSE = 0.002  # how far mean accuracies may differ
NUMERIC = ("pendigits", "wall_robot")  # all columns are numbers; in the others, none


class Learned(NamedTuple):
    """What one learner makes of one split.

    Attributes:
        rules: as foldrm's own `predict` takes them.
        answers: on the rows that it is scored on.
    """

    rules: list[Any]
    answers: list[str]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print a row for each data set, and say where accuracies lie further apart than `CLOSE`; then the times."""
    rows = [measure(name) for name in NAMES]
    headings = ("rows", "accuracy", "foldrm", "same answers", "same rules", "gini")
    screen = make_table(f"{N_SEEDS} splits each, ratio {RATIO}", "data", headings)
    for row in rows:
        theirs = [_format(row[key]) for key in ("foldrm_accuracy", "same_answers", "same_rules")]
        screen.add_row(
            row["data"], f"{row['n_rows']:,}", _format(row["accuracy"]), *theirs, _format(row["gini_accuracy"])
        )
    stdout.print(screen)
    far = [row["data"] for row in rows if row["foldrm_accuracy"] is not None]
    far = [row["data"] for row in rows if row["data"] in far and abs(row["accuracy"] - row["foldrm_accuracy"]) > CLOSE]
    if far:
        stdout.print(f"mean accuracy is more than {CLOSE} from foldrm's on {', '.join(far)}")
    speed = measure_speed(full)
    seconds = "not measured" if speed["foldrm_s"] is None else f"{speed['foldrm_s']:.1f} s"
    stdout.print(f"{speed['n_images']:,} images, {speed['n_atoms']} bits: {speed['median_s']:.2f} s; foldrm {seconds}")
    return {"machine": describe_machine(), "rows": rows, "speed": speed}


def measure_speed(full: bool) -> dict[str, Any]:
    """Seconds to learn class rules of `cifar10_vgg` from its last layer's bits, and whether both answer the same."""
    train, test = load_both(VGG, 1, ignore_progress)
    options = ExtractOptions(threshold="split", rules="fold", min_leaf=1, ratio=RATIO)
    training = select_training(train, options)
    quantiser = find_quantiser(training, options)
    learned, scored = (quantise_activations(part, quantiser) for part in (training, test))
    names = [f"b{column}" for column in range(len(learned.atoms))]

    def learn_ours() -> Any:
        return extract_program(learned, quantiser, training.targets, training.classes, options)

    timing, program = time_runs(learn_ours, n_runs=5), learn_ours()
    seconds = same = n_rules = None
    if full and find_spec("foldrm"):
        columns, unseen = (
            {name: np.where(bits, "t", "f") for name, bits in zip(names, part.to_bools().T.numpy(), strict=True)}
            for part in (learned, scored)
        )
        begin = perf_counter()
        theirs = learn_foldrm(columns, np.array(training.classes)[training.targets.numpy()], unseen)
        seconds, n_rules = perf_counter() - begin, len(theirs.rules)
        own = Evaluator(program).predict(scored).classes.tolist()
        same = float(np.mean([program.classes[c] if c >= 0 else "" for c in own] == np.array(theirs.answers)))
    return {
        "n_images": learned.n_samples,
        "n_atoms": len(learned.atoms),
        **timing._asdict(),
        "n_rules": len(program.class_rules),
        "foldrm_s": seconds,
        "foldrm_rules": n_rules,
        "same_answers": same,
    }


def measure(name: str) -> dict[str, Any]:
    """One data set: means over the splits."""
    table = load_table(SHARED / "fixtures" / "foldrm" / f"{name}.csv")
    columns = {column: np.array(values) for column, values in table.columns.items()}
    label = list(columns)[-1]
    target = columns.pop(label)
    if name in NUMERIC:
        columns = {column: values.astype(np.float64) for column, values in columns.items()}
    pairs, ginis = [], []
    for seed in range(N_SEEDS):
        order = np.random.default_rng(seed).permutation(len(target))
        train, test = np.split(order, [int(TRAIN * len(order))])
        parts = [({c: values[rows] for c, values in columns.items()}, target[rows]) for rows in (train, test)]
        ours = learn(*parts[0], parts[1][0])
        theirs = learn_foldrm(*parts[0], parts[1][0]) if find_spec("foldrm") else None
        pairs.append((ours, theirs, parts[1][1]))
        ginis.append(_score(learn(*parts[0], parts[1][0], criterion="gini").answers, parts[1][1]))
    others = [(ours, theirs, labels) for ours, theirs, labels in pairs if theirs is not None]
    return {
        "data": name,
        "n_rows": len(target),
        "n_seeds": N_SEEDS,
        "accuracy": mean(_score(ours.answers, labels) for ours, _, labels in pairs),
        "gini_accuracy": mean(ginis),
        "n_rules": mean(len(ours.rules) for ours, _, _ in pairs),
        "foldrm_accuracy": mean(_score(theirs.answers, labels) for _, theirs, labels in others) if others else None,
        "same_answers": mean(_score(a.answers, np.array(b.answers)) for a, b, _ in others) if others else None,
        "same_rules": mean(_count_same(a.rules, b.rules) / len(a.rules) for a, b, _ in others) if others else None,
    }


def learn(
    columns: dict[str, np.ndarray[Any, Any]],
    target: np.ndarray[Any, Any],
    test: dict[str, np.ndarray[Any, Any]],
    criterion: str = "entropy",
) -> Learned:
    model = FoldClassifier(RATIO, criterion=criterion, max_thresholds=10**6)
    model.fit(pd.DataFrame(columns), target)
    rules = to_foldrm(model.program_, list(columns))
    return Learned(rules, model.predict(pd.DataFrame(test)).tolist())


def learn_foldrm(
    columns: dict[str, np.ndarray[Any, Any]], target: np.ndarray[Any, Any], test: dict[str, np.ndarray[Any, Any]]
) -> Learned:
    from foldrm import Classifier

    def to_rows(*parts: np.ndarray[Any, Any]) -> list[list[Any]]:
        return [list(row) for row in zip(*(part.tolist() for part in parts), strict=True)]

    model = Classifier(attrs=[*columns, "label"], numeric=[], label="label")
    rows = to_rows(*columns.values(), target)
    model.fit(rows, ratio=RATIO)
    answers = model.predict(to_rows(*test.values(), target[: len(next(iter(test.values())))]))
    return Learned(model.rules, [answer or "" for answer in answers])


def _score(answers: Sequence[str], labels: np.ndarray[Any, Any]) -> float:
    return float(np.mean(np.array(answers) == labels))


def _count_same(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """How many rules are the same, from the first on."""
    n = 0
    for a, b in zip(ours, theirs, strict=False):
        if _plain(a) != _plain(b):
            break
        n += 1
    return n


def _plain(rule: Any) -> Any:
    """A rule without the names of its exceptions."""
    head, holds, exceptions, _ = rule
    return head[2] if head != -1 else None, tuple(holds), tuple(_plain((-1, *one[1:])) for one in exceptions)


def _format(share: float | None) -> str:
    return "-" if share is None else f"{share:.4f}"
