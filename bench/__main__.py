"""`python -m bench CASE [--json FILE]`: run one case of the registry and print its tables."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import tables

CASES: dict[str, Callable[[], dict[str, Any]]] = {"tables": tables.run_case}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    arguments = parser.parse_args()
    result = CASES[arguments.case]()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


main()
