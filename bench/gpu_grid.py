"""How fast forests are answered on a GPU, over the grid of nvForest's own benchmark: `python -m bench gpu-grid`.

scikit-learn's random forests of 16 to 1,024 trees and depths of 2 to 32, learned from 10,000 rows of 8 to 512 columns;
batches of 1 to 16,777,216 rows, drawn from those, on the device. Without `--full` there are 32 columns and at most 128
trees. A call gives the classes' shares, on the device; the clock stops when that is done. nvForest and Hummingbird are
timed where they are installed, on the same rows; Hummingbird's answers come back to the CPU.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import eric_fast
from bench.harness import describe_machine, time_runs
from bench.screen import format_seconds
from eric_fast.kernels import expect
from eric_fast.show.console import stdout
from eric_fast.table.model import RuleModel

N_COLUMNS, N_TREES, DEPTHS = (8, 32, 128, 512), (16, 128, 1_024), (2, 4, 8, 16, 32)
BATCHES = (1, 16, 128, 1_024, 1_048_576, 16_777_216)
N_TRAINING, N_COMPARED = 10_000, 1_024
HUMMINGBIRD_ROWS = 65_536  # at a time: it has every tree's place of every row in memory
TOLERANCE = 1e-5  # of shares: others add them in float32
RIVALS = {"nvforest": "nvForest", "hummingbird": "Hummingbird"}

Row = dict[str, Any]


class Contender(NamedTuple):
    """`run` answers rows as `prepare` gives them, float32 `[n, n_columns]`, with a column for each class or one."""

    who: str
    prepare: Callable[[Tensor], Any]
    run: Callable[[Any], Any]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print a line for each forest and batch; `full`: the whole grid.

    Raises:
        SystemExit: there is no GPU, or a rival gives other answers.
    """
    if not torch.cuda.is_available():
        raise SystemExit("gpu-grid runs on a GPU alone, and PyTorch finds none here")
    if missing := [name for package, name in RIVALS.items() if find_spec(package) is None]:
        stdout.print(f"not installed, so not timed: {', '.join(missing)}", markup=False)
    grid = product(N_COLUMNS if full else N_COLUMNS[1:2], N_TREES if full else N_TREES[:2], DEPTHS)
    device = torch.device("cuda")
    rows = [row for forest in grid for row in time_forest(*forest, BATCHES, device)]
    packages = ("nvforest-cu12", "nvforest-cu13", "hummingbird-ml")
    return {"machine": {**describe_machine(*packages), "gpu": torch.cuda.get_device_name()}, "rows": rows}


def time_forest(
    n_columns: int, n_trees: int, depth: int, batches: tuple[int, ...], device: torch.device
) -> Iterator[Row]:
    """A row for each batch and contender, ours first.

    Raises:
        SystemExit: a contender gives other shares than scikit-learn.
    """
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    n_informative = min(n_columns, 10)
    columns, target = make_classification(
        N_TRAINING, n_columns, n_informative=n_informative, n_redundant=0, random_state=0
    )
    forest = RandomForestClassifier(n_trees, max_depth=depth, random_state=0, n_jobs=-1)
    forest.fit(columns.astype(np.float32), target)
    table = torch.from_numpy(columns.astype(np.float32)).to(device)
    contenders = list(_list_contenders(forest, table[:2].cpu().numpy(), device))
    some = table[:N_COMPARED]
    expected = forest.predict_proba(some.cpu().numpy())[:, -1]
    for contender in contenders:
        found = take_shares(contender.run(contender.prepare(some)))
        if not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
            raise SystemExit(f"nothing was timed: {contender.who} gives other answers than scikit-learn")
    wait = torch.cuda.synchronize if device.type == "cuda" else None
    generator = torch.Generator(device).manual_seed(0)
    for n in batches:
        batch = table[torch.randint(len(table), (n,), generator=generator, device=device)]
        for contender in contenders:
            given = contender.prepare(batch)
            timing = time_runs(lambda: contender.run(given), n_warmups=3, wait=wait)  # noqa: B023
            size = {"n_columns": n_columns, "n_trees": n_trees, "depth": depth, "n_rows": n}
            yield {"who": contender.who, **size, **timing._asdict()}
            stdout.print(
                f"{n_columns} columns, {n_trees:,} trees of depth {depth}, {n:,} rows, {contender.who}: "
                f"{format_seconds(timing.median_s)}",
                markup=False,
            )


def _list_contenders(forest: Any, columns: NDArray[np.float32], device: torch.device) -> Iterator[Contender]:
    model = eric_fast.load(forest)
    assert isinstance(model, RuleModel)
    yield Contender("eric-fast", lambda rows: rows, lambda rows: expect(model.evaluate(rows, scores=True).scores))
    if device.type != "cuda":
        return
    if find_spec("nvforest"):
        import cupy
        import nvforest

        loaded = nvforest.load_from_sklearn(forest, device="gpu")
        yield Contender("nvForest", cupy.asarray, loaded.predict_proba)
    if find_spec("hummingbird"):
        from hummingbird.ml import convert

        converted = convert(forest, "torch", columns, device="cuda")
        yield Contender(
            "Hummingbird",
            lambda rows: rows.cpu().numpy(),
            lambda rows: np.concatenate(
                [converted.predict_proba(rows[i : i + HUMMINGBIRD_ROWS]) for i in range(0, len(rows), HUMMINGBIRD_ROWS)]
            ),
        )


def take_shares(got: Any) -> NDArray[Any]:
    """The last class's share of each row. got: the shares of all classes, or in another unit, or its alone."""
    array: NDArray[Any] = got.get() if hasattr(got, "get") else got.cpu().numpy() if isinstance(got, Tensor) else got
    return array[:, -1] / array.sum(axis=1) if array.shape[1] > 1 else array[:, 0]
