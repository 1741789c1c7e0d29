"""One timed run of `python -m bench scale`, in a process of its own or under torchrun: `STAGE FOLDER`."""

import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from eric_fast.extract import TreeOptions
from eric_fast.memory import find_peak_memory
from eric_fast.processes import Processes, join_processes, leave_processes
from eric_fast.store import Capture, open_capture
from eric_fast.streams import approximate_capture, evaluate_capture
from eric_fast.text import load_program, print_program

PROGRAM = "program.lp"


def extract(capture: Capture, processes: Processes, folder: Path) -> tuple[str, int]:
    """The classes over the last layer, and the kernels their rules mention over the one below, as the command does.

    The program's text, and the bytes of bits that were read.
    """
    layers = capture.layers[-2:]
    options = TreeOptions(min_leaf=0.01)
    program = approximate_capture(capture, layers=layers, options=options, processes=processes)
    if processes.is_first and capture.path.name == "whole":
        (folder / PROGRAM).write_text(print_program(program), encoding="utf-8")
    return print_program(program), count_bytes(capture, len(layers))


def evaluate(capture: Capture, processes: Processes, folder: Path) -> tuple[str, int]:
    """That program, from the bits of its lower layer: the score, and the bytes of bits that were read."""
    score = evaluate_capture(load_program(folder / PROGRAM), capture, processes=processes)
    return json.dumps(score.to_dict()), count_bytes(capture, 1)


def count_bytes(capture: Capture, n_layers: int) -> int:
    """Of the bits of the last layers, which are equally wide."""
    return n_layers * capture.n_kernels[capture.layers[-1]] * -(-capture.n_images // 8)


def main() -> None:
    stage, folder = sys.argv[1], Path(sys.argv[2])
    run: Callable[[Capture, Processes, Path], tuple[str, int]] = {"extract": extract, "evaluate": evaluate}[stage]
    processes = join_processes()
    run(open_capture(folder / "small"), processes, folder)  # compiles
    capture = open_capture(folder / "whole")
    if processes.count > 1:
        processes.wait_for_all()
    started = time.perf_counter()
    result, n_bytes = run(capture, processes, folder)
    seconds = time.perf_counter() - started
    if processes.is_first:
        digest = sha256(result.encode()).hexdigest()
        print(json.dumps({"seconds": seconds, "result": digest, "n_bytes": n_bytes, "peak": find_peak_memory()}))
    leave_processes()


main()
