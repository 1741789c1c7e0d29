"""`python -m bench CASE [--full] [--json FILE]`: run one case of the registry and print its tables."""

import argparse
from collections.abc import Callable
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
CASES: dict[str, Callable[[bool], dict[str, Any]]] = {
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
        "--parts", help="by commas; of faithfulness, what to measure (other rows of --json stay); of evaluate, programs"
    )
    arguments = parser.parse_args()
    if arguments.parts and arguments.case == "evaluate":
        result = evaluate.run_programs(arguments.parts.split(","))
    elif arguments.parts:
        result = faithfulness.run_case(parts=arguments.parts.split(","), before=arguments.json)
    else:
        result = CASES[arguments.case](arguments.full)
    if arguments.json:
        write_rows(arguments.json, result)
        if "growth" in result:
            draw_growth(result["growth"], arguments.json.with_suffix(".png"))


if __name__ == "__main__":  # processes that a case starts import this too
    main()
