"""`ChainStudy`: what was measured of chains, as tables and by name."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from eric_fast.chains.bounds import Bound
from eric_fast.errors import say_count
from eric_fast.extract import TreeOptions
from eric_fast.results.described import Described, name_span
from eric_fast.results.tabular import Columns, Tabular, turn_rows
from eric_fast.score import Score

WAYS = ("true", "predicted", "direct")
MIN_LEAVES = (0.005,)


@dataclass(frozen=True)
class ChainRow:
    """How one chain does.

    Attributes:
        way: how it was grown: on `true` or on `predicted` bits, or `direct`: no chain, only class rules over the bits
            of the start layer. For the highest layer all three are the same program.
        min_leaf: least number of training images in a leaf (int), or share of them (float).
        score: from its start layer, of the program without rules for kernels that no rule mentions.
        bits_right: layer above the start layer -> share of its bits, over all kernels and all images of `score`, on
            which chain and network agree; empty if there is no chain.
        share_right: the same over all those layers; None if there is no chain.
    """

    way: str
    min_leaf: int | float
    score: Score
    bits_right: Mapping[str, float]
    share_right: float | None

    def to_dict(self) -> dict[str, Any]:
        own = {"way": self.way, "min_leaf": self.min_leaf, **self.score.to_dict(with_confusion=False)}
        return {**own, "share_right": self.share_right, "bits_right": dict(self.bits_right)}


@dataclass(frozen=True, repr=False)
class ChainStudy(Described, Tabular):
    """Chains from every start layer.

    Attributes:
        rules: of the kernels; see `TreeOptions`.
        layers: the chain's layers, lowest first.
        starts: what is given in each: a layer with what runs beside it, `features.9` or `wide,slim`; the lowest first.
        min_leaves: minimum leaves, in the order given; tables by layer show the first.
        n_training_images: images that programs were extracted from.
        n_images: images that programs are scored on.
        model_accuracy: accuracy of the network itself; None if no label is known.
        rows: sorted by minimum leaf, way (`WAYS`) and start layer.
        commonest_class: fidelity of always answering with the commonest class of the training images.
        commoner_value: layer above the lowest -> share of its bits that are right if each kernel always has its
            commoner value in training.
        bounds: lowest layer first; empty if not asked for.

    Examples:
        >>> train, test = ef.load_activations("eric-demo/train"), ef.load_activations("eric-demo/test")
        >>> study = ef.measure_chains(train, test, layers=["conv3.2", "conv4.2"], min_leaves=[0.05])
        >>> study.layers, len(study.rows), study.min_leaves
        (('conv3.2', 'conv4.2'), 6, (0.05,))
    """

    rules: str
    layers: tuple[str, ...]
    starts: tuple[str, ...]
    min_leaves: tuple[int | float, ...]
    n_training_images: int
    n_images: int
    model_accuracy: float | None
    rows: tuple[ChainRow, ...]
    commonest_class: float
    commoner_value: Mapping[str, float]
    bounds: tuple[Bound, ...] = ()

    def list_facts(self) -> Iterator[str]:
        yield f"{self.rules}"
        yield name_span(self.layers, "layer")
        yield say_count(self.n_images, "image")
        yield say_count(len(self.rows), "chain")

    def find_row(self, way: str, start: str, min_leaf: int | float | None = None) -> ChainRow:
        """Find the row of a chain, by default with the first minimum leaf."""
        wanted = (way, start, self.min_leaves[0] if min_leaf is None else min_leaf)
        return next(row for row in self.rows if (row.way, row.score.start_layer, row.min_leaf) == wanted)

    def find_bound(self, layer: str) -> Bound | None:
        return next((bound for bound in self.bounds if bound.layer == layer), None)

    def find_below(self, layer: str) -> str:
        """The highest start from which the kernels of a layer are derived."""
        return next(start for start in reversed(self.starts) if layer in self.find_row("true", start).bits_right)

    def order_leaves(self) -> list[int | float]:
        """Sort minimum leaves from large to small, with shares taken as numbers of images."""
        n_images = self.n_training_images
        return sorted(self.min_leaves, key=lambda leaf: -TreeOptions(min_leaf=leaf).count_min_leaf(n_images))

    def list_tables(self) -> dict[str, Columns]:
        """`chains`: a row for each chain; `bits`: the share of bits right, a row for each chain and layer above."""
        rows = [
            {"way": row.way, "min_leaf": row.min_leaf, "share_right": row.share_right, **_take_row(row.score)}
            for row in self.rows
        ]
        bits = [
            {"way": r.way, "min_leaf": r.min_leaf, "start_layer": r.score.start_layer, "layer": layer, "right": right}
            for r in self.rows
            for layer, right in r.bits_right.items()
        ]
        return {"chains": turn_rows(rows), "bits": turn_rows(bits)}

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "commoner_value": dict(self.commoner_value),
            "rows": [row.to_dict() for row in self.rows],
            "bounds": [asdict(bound) for bound in self.bounds],
        }


def _take_row(score: Score) -> dict[str, Any]:
    return {name: column[0] for name, column in score.list_tables()["scores"].items()}


def name_leaf(min_leaf: int | float) -> str:
    """Write a minimum leaf: `2,500` for images, `0.5 %` for a share of them."""
    return f"{min_leaf:,}" if isinstance(min_leaf, int) else f"{100 * min_leaf:g} %"


def name_rules(study: ChainStudy) -> str:
    """How large the rules are that tables by layer show."""
    return "weight rules" if study.rules == "weights" else f"minimum leaf {name_leaf(study.min_leaves[0])}"
