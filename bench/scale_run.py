"""One timed run of `python -m bench scale`, in a process of its own or under torchrun: `STAGE FOLDER`."""

import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from eric_fast.extract import TreeOptions
from eric_fast.processes import Processes, join_processes, leave_processes
from eric_fast.processes.memory import find_peak_memory
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import Capture, open_capture
from eric_fast.text import load_program, print_program

PROGRAM = "program.lp"
PAIR = ("conv05", "conv06")  # two layers of 256 kernels: the one trees ask, and the one they are grown for
Call = Callable[[], tuple[Callable[[], str], int]]


def extract(capture: Capture, processes: Processes, folder: Path) -> Call:
    """Every kernel of a layer over the one below, and the classes over it, as the command does."""
    return _extract(capture, processes, folder, TreeOptions(min_leaf=0.01))


def extract_weights(capture: Capture, processes: Processes, folder: Path) -> Call:
    """The same by weight rules of 16 literals, and votes from each of the two layers."""
    return _extract(capture, processes, folder, TreeOptions(rules="weights"))


def _extract(capture: Capture, processes: Processes, folder: Path, options: TreeOptions) -> Call:
    def run() -> tuple[Callable[[], str], int]:
        program = approximate_model(
            capture, layers=PAIR, threshold="mean", options=options, all_kernels=True, processes=processes
        )
        return lambda: _keep(print_program(program), capture, folder), count_bytes(capture, PAIR)

    return run


def _keep(text: str, capture: Capture, folder: Path) -> str:
    if capture.path.name == "whole":
        (folder / PROGRAM).write_text(text, encoding="utf-8")
    return text


def evaluate(capture: Capture, processes: Processes, folder: Path) -> Call:
    """That program, read before, from the bits of its lower layer: the score."""
    program = load_program(folder / PROGRAM)

    def run() -> tuple[Callable[[], str], int]:
        score = evaluate_program(program, capture, processes=processes)
        return lambda: json.dumps(score.to_dict()), count_bytes(capture, PAIR[:1])

    return run


def count_bytes(capture: Capture, layers: tuple[str, ...]) -> int:
    """Of the bits of these layers."""
    return sum(capture.n_kernels[layer] * -(-capture.n_images // 8) for layer in layers)


STAGES = {"extract": extract, "evaluate": evaluate, "extract weights": extract_weights}


def main() -> None:
    stage, folder = sys.argv[1], Path(sys.argv[2])
    prepare: Callable[[Capture, Processes, Path], Call] = STAGES[stage]
    processes = join_processes()
    for those in (Processes(), processes):  # compiles: each process alone, then what they do together
        prepare(open_capture(folder / "small"), those, folder)()
    run = prepare(open_capture(folder / "whole"), processes, folder)
    if processes.count > 1:
        processes.wait_for_all()
    started = time.perf_counter()
    describe, n_bytes = run()
    seconds = time.perf_counter() - started
    if processes.is_first:
        digest = sha256(describe().encode()).hexdigest()
        print(json.dumps({"seconds": seconds, "result": digest, "n_bytes": n_bytes, "peak": find_peak_memory()}))
    leave_processes()


if __name__ == "__main__":
    main()
