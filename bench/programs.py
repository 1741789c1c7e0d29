"""The programs that evaluation is timed on, each with bits of any number of samples."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import foldrm
from bench.harness import CACHE, SHARED
from bench.tables import capture_cifar
from bench.trees import Tree, from_sklearn, list_grown, list_leaves
from eric_fast.bits import count_words, mask_tail, unpack_words
from eric_fast.compile.program import compile_program
from eric_fast.extract import TreeOptions, grow_trees
from eric_fast.plan import Plan
from eric_fast.plan.steps import KIND_CARRY
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.progress import Progress
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.runs import approximate_model
from eric_fast.store.activations import Activations
from eric_fast.text import load_program, save_program

WIDTHS, N_CLASSES = (64, 64, 128, 128, 256, 256), 10  # of `cifar10_vgg`
FOREST_TREES, FOREST_MIN_LEAF = 100, 25
CIFAR_OPTIONS = TreeOptions(min_leaf=250)


@dataclass(frozen=True, eq=False)
class Case:
    """One program to time.

    Attributes:
        name: as `--json` has it: `a`, `b`, `c`, `d nursery` and so on.
        title: what it is, in a line.
        program: as written; its literals are what a rate counts.
        make_words: number of samples -> int32 words of the plan's inputs.
        wanted: what is asked for: fields of `Request`.
        forest: the trees that the program was made from, where it is one forest.
        grow_layers: grows the trees that a chain was made from, with all their leaves: a list for each layer of
            kernels, and the class tree's.
        table: the table that a FOLD-RM program reads, where it is one.
    """

    name: str
    title: str
    program: Program
    make_words: Callable[[int], Tensor]
    wanted: Mapping[str, Any]
    forest: Sequence[Tree] = ()
    grow_layers: Callable[[], list[list[Tree]]] | None = None
    table: "foldrm.Table | None" = None
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", compile_program(self.program))

    @property
    def n_literals(self) -> int:
        return self.program.n_literals

    @property
    def n_adders(self) -> int:
        """Full adders of the plan, where it is weight rules."""
        return int((self.plan.steps.kinds == KIND_CARRY).sum()) if len(self.plan.sums.bounds) else 0


CLASSES_ONLY = {"rules": False}


def make_random_case(n_rules: int = 15_000, n_literals: int = 6, n_atoms: int = 512, n_heads: int = 512) -> Case:
    """(a): rules of `n_literals` different atoms each, signs and heads by lot; every head's row is asked for."""
    program = make_random_program(n_rules, n_literals, n_atoms, n_heads)
    return Case(
        "a",
        f"random: {n_rules:,} rules of {n_literals} literals over {n_atoms} atoms, {n_heads} heads, all written",
        program,
        lambda n_samples: make_random_words(n_atoms, n_samples),
        {"classes": False, "rules": False, "rows": range(n_atoms, n_atoms + n_heads)},
    )


def make_weights_case(widths: Sequence[int] = WIDTHS, n_literals: int = 16, most: int = 7) -> Case:
    """(w): a weight rule for each kernel of layers as wide as those of `cifar10_vgg`, and a vote for each of the last.

    Literals, weights from 1 to `most` and bounds are by lot, the bounds near half of all weights.
    """
    lot = np.random.default_rng(0)
    atoms = [InputAtom(f"layer {layer}", k, ">", 0.0) for layer, width in enumerate(widths) for k in range(width)]
    rules, below = [], range(widths[0])
    for width in widths[1:]:
        for head in range(below.stop, below.stop + width):
            drawn = lot.choice(below, n_literals, replace=False)
            body = np.where(lot.random(n_literals) < 0.5, drawn, ~drawn).tolist()
            weights = lot.integers(1, most + 1, n_literals)
            bound = int(weights.sum() // 2 + lot.integers(-most, most + 1))
            rules.append(Rule(head, tuple(body), weights=tuple(weights.tolist()), bound=bound))
        below = range(below.stop, below.stop + width)
    votes = [ClassRule(int(lot.integers(N_CLASSES)), (atom,), weight=int(lot.integers(1, 64))) for atom in below]
    names = tuple(map(str, range(N_CLASSES)))
    program = Program(Quantiser(tuple(atoms)), names, tuple(votes), tuple(rules), decision=Decision.VOTE)
    return Case(
        "w",
        f"weights: {len(rules)} rules of {n_literals} literals in {len(widths) - 1} layers, {len(votes)} votes",
        program,
        lambda n_samples: make_random_words(widths[0], n_samples),
        CLASSES_ONLY,
    )


def make_random_program(n_rules: int, n_literals: int, n_atoms: int, n_heads: int, n_strata: int = 1) -> Program:
    """Rules dealt evenly to `n_strata` layers of heads; each draws its atoms from all layers below its own."""
    lot = np.random.default_rng(0)
    atoms = [InputAtom("given", k, ">", 0.0) for k in range(n_atoms)]
    rules = []
    for stratum, heads in enumerate(np.array_split(np.arange(n_heads), n_strata)):
        below = len(atoms)
        atoms += [InputAtom(f"derived {stratum}", k, ">", 0.0) for k in range(len(heads))]
        for _ in range(n_rules * (stratum + 1) // n_strata - n_rules * stratum // n_strata):
            body = lot.choice(below, n_literals, replace=False)
            signs = lot.random(n_literals) < 0.5
            head = below + int(lot.integers(len(heads)))
            rules.append(Rule(head, tuple(np.where(signs, body, ~body).tolist())))
    return Program(Quantiser(tuple(atoms)), (), (), tuple(rules))


def make_random_words(n_atoms: int, n_samples: int) -> Tensor:
    """Fair coins."""
    generator = torch.Generator().manual_seed(0)
    shape = (n_atoms, count_words(n_samples))
    return mask_tail(torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, generator=generator), n_samples)


def repeat_samples(words: Tensor, n_samples: int, n_wanted: int) -> Tensor:
    """The bits of `n_samples` samples as those of `n_wanted`: as they are, then replicas, each in an order of its own.

    words: int32 `[n_atoms, count_words(n_samples)]`.
    """
    order = order_replicas(n_samples, n_wanted)
    bits = unpack_words(words, n_samples).T.contiguous().numpy()  # [n_atoms, n_samples]
    repeated = np.zeros((len(bits), count_words(n_wanted) * 4), np.uint8)
    for row, packed in zip(bits, repeated, strict=True):
        octets = np.packbits(row[order], bitorder="little")
        packed[: len(octets)] = octets
    return torch.from_numpy(repeated).view(torch.int32)


def order_replicas(n_samples: int, n_wanted: int) -> NDArray[np.int64]:
    """Which sample each of `n_wanted` is."""
    lot = np.random.default_rng(0)
    replicas = [lot.permutation(n_samples) for _ in range(-(-n_wanted // n_samples) - 1)]
    return np.concatenate([np.arange(n_samples), *replicas])[:n_wanted]


def make_cifar_case(train: Activations, progress: Progress) -> Case:
    """(b): all kernels of all layers and the class tree of `cifar10_vgg`, chained from its first layer."""
    program = load_cifar_program(train, progress)
    bits = quantise_activations(train, program.network_quantiser, program.layers[:1])

    def grow_layers() -> list[list[Tree]]:
        whole = quantise_activations(train, program.network_quantiser)
        rows_of = program.quantiser.rows_of_layer
        layers = [whole.select_atoms([program.atoms[row].name for row in rows_of[layer]]) for layer in program.layers]
        grown = [list_grown(grow_trees(below, own, CIFAR_OPTIONS)) for below, own in pairwise(layers)]
        return [*grown, list_grown(grow_trees(layers[-1], train.predictions, CIFAR_OPTIONS))]

    return Case(
        "b",
        f"cifar10_vgg: every kernel of {len(program.layers) - 1} layers and the class, from {program.layers[0]}: "
        f"{len(program.kernel_rules) + len(program.class_rules):,} rules",
        program,
        lambda n_samples: repeat_samples(bits.words, bits.n_samples, n_samples),
        CLASSES_ONLY,
        grow_layers=grow_layers,
    )


def load_cifar_program(train: Activations, progress: Progress) -> Program:
    """As grown (minimum leaf 250), extracted once and kept in .cache/bench/."""
    path = CACHE / "bench" / "cifar10_vgg_as_grown.lp"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        program = approximate_model(
            train,
            layers="all",
            threshold="mean",
            options=CIFAR_OPTIONS,
            all_kernels=True,
            simplify=False,
            progress=progress,
        )
        save_program(program, path)
    return load_program(path)


def make_forest_case(train: Activations) -> Case:
    """(c): a random forest from the bits of the highest layer to what the model predicts."""
    layer = train.layers[-1]
    part = train.select_layers([layer])
    quantiser = fit_quantiser(part)
    bits = quantise_activations(part, quantiser)
    trees = grow_forest(bits.to_bools().numpy(), train.predictions.numpy(), FOREST_TREES, FOREST_MIN_LEAF)
    program = forest_to_program(trees, quantiser, train.classes)
    return Case(
        "c",
        f"forest of {len(trees)} trees from {layer} to the class: {len(program.class_rules):,} leaves, votes by shares",
        program,
        lambda n_samples: repeat_samples(bits.words, bits.n_samples, n_samples),
        CLASSES_ONLY,
        forest=trees,
    )


def grow_forest(bits: NDArray[np.bool_], target: NDArray[np.int64], n_trees: int, min_leaf: int) -> list[Tree]:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_trees, criterion="entropy", min_samples_leaf=min_leaf, random_state=0, n_jobs=-1
    ).fit(bits.astype(np.float32), target)
    assert forest.classes_.tolist() == list(range(len(forest.classes_)))  # every class occurs
    return [from_sklearn(fitted) for fitted in forest.estimators_]


def forest_to_program(trees: Sequence[Tree], quantiser: Quantiser, classes: Sequence[str]) -> Program:
    """A rule for each leaf, which adds its share to each class."""
    rules = []
    for tree in trees:
        for body, shares in list_leaves(tree):
            head = int(shares.argmax())
            others = tuple((c, float(share)) for c, share in enumerate(shares) if share and c != head)
            rules.append(ClassRule(head, body, weight=float(shares[head]), also=others))
    return Program(quantiser, tuple(classes), tuple(rules), decision=Decision.VOTE)


def make_foldrm_case(name: str) -> Case:
    """(d): a decision list with exceptions that FOLD-RM learned, on its table's held-out rows."""
    table = foldrm.load_table(SHARED / "fixtures" / "foldrm" / f"{name}.csv")
    model = foldrm.load_rules(SHARED / "fixtures" / "foldrm" / f"{name}.simple.lp")
    program = model.program
    words, n_rows = model.packer.pack(table.columns)
    return Case(
        f"d {name}",
        f"FOLD-RM's {name}: {len(program.class_rules)} rules, {len(program.kernel_rules)} exceptions, "
        f"{len(program.quantiser.atoms)} comparisons",
        program,
        lambda n_samples: repeat_samples(words, n_rows, n_samples),
        CLASSES_ONLY,
        table=table,
    )


def make_cases(progress: Progress, names: Collection[str] = ()) -> Iterator[Case]:
    """All of them, one after another; or those of these names, and nothing that others need.

    Raises:
        SystemExit: a name that none has.
    """
    capture = cache(lambda: capture_cifar("train", progress))
    makers: dict[str, Callable[[], Case]] = {
        "a": make_random_case,
        "b": lambda: make_cifar_case(capture(), progress),
        "w": make_weights_case,
        "c": lambda: make_forest_case(capture()),
        **{f"d {name}": partial(make_foldrm_case, name) for name in foldrm.NAMES},
    }
    if unknown := sorted(set(names) - set(makers)):
        raise SystemExit(f"no program is called {', '.join(unknown)}; there are {', '.join(makers)}")
    for name, make in makers.items():
        if not names or name in names:
            yield make()
