"""`python -m bench CASE [--full] [--json FILE]`: run one case of the registry and print its tables."""

import argparse
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import (
    analyse,
    capture,
    chain,
    count,
    evaluate,
    extract,
    faithfulness,
    first,
    fold,
    frontends,
    gpu_grid,
    pack,
    page,
    sass,
    scale,
    small,
    tables,
    thousand,
    thresholds,
)
from bench.growth import draw_growth
from bench.harness import write_rows

# Each prints its tables and gives back what --json writes: the machine, and lists of rows. `full`: rivals in full, too.
# Those that take long give it over and over, with what is known by then, so that a run that ends early has written it.
CASES: dict[str, Callable[..., dict[str, Any] | Iterator[dict[str, Any]]]] = {
    "analyse": analyse.run_case,
    "capture": capture.run_case,
    "chain": chain.run_case,
    "count": count.run_case,
    "evaluate": evaluate.run_case,
    "extract": extract.run_case,
    "faithfulness": faithfulness.run_case,
    "first": first.run_case,
    "fold": fold.run_case,
    "frontends": frontends.run_case,
    "gpu-grid": gpu_grid.run_case,
    "pack": pack.run_case,
    "report": page.run_case,
    "sass": sass.run_case,
    "scale": scale.run_case,
    "small": small.run_case,
    "tables": tables.run_case,
    "thousand": thousand.run_case,
    "thresholds": thresholds.run_case,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--full", action="store_true", help="leave nothing out of what rivals are timed on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too, plots beside them")
    parser.add_argument(
        "--parts",
        help="by commas; of faithfulness, what to measure (other rows of --json stay); of evaluate, programs; of "
        "frontends, how the names of models begin",
    )
    parser.add_argument("--rows", help="by commas; of frontends and small, numbers of rows")
    arguments = parser.parse_args()
    settings: dict[str, Any] = {}
    if arguments.parts:
        settings["parts"] = arguments.parts.split(",")
    if arguments.rows:
        settings["sizes"] = [int(size) for size in arguments.rows.split(",")]
    run_case = CASES[arguments.case]
    if refused := settings.keys() - inspect.signature(run_case).parameters:
        parser.error(f"{arguments.case} doesn't take --{'rows' if 'sizes' in refused else 'parts'}")
    if "parts" in settings and arguments.case == "faithfulness":
        settings["before"] = arguments.json
    found = run_case(arguments.full, **settings)
    for result in [found] if isinstance(found, dict) else found:
        if arguments.json:
            write_rows(arguments.json, result)
            if "growth" in result:
                draw_growth(result["growth"], arguments.json.with_suffix(".png"))


if __name__ == "__main__":  # processes that a case starts import this too
    main()
