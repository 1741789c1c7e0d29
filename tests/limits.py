"""`python -m tests.limits [CASE]`: programs and inputs of great size: they work, or are refused by their size.

Each case is a process of its own, which prints a program, reads that again, and evaluates it. Results go into
`fault_results.json`.
"""

import json
import random
import resource
import subprocess
import sys
import time
from typing import Any, NamedTuple

import torch

from eric_fast.bits import BitMatrix, count_words, mask_tail
from eric_fast.errors import EricError
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.decision import Decision
from eric_fast.text import parse_program, print_program
from tests.fault_table import record

MOST_SECONDS = 580


class Size(NamedTuple):
    """Of a program whose rules have three literals each, and its input. `with_rules`: ask for those that decide."""

    n_atoms: int = 64
    n_classes: int = 10
    n_rules: int = 100
    n_samples: int = 1000
    decision: str = "first"
    with_rules: bool = True


CASES = {
    "1,000,000 classes, a rule for each": Size(n_classes=10**6, n_rules=10**6),
    "1,000,000 classes that are voted for": Size(n_classes=10**6, n_rules=10**6, decision="vote", with_rules=False),
    "1,000,000 classes that are voted for, and by which rule": Size(n_classes=10**6, n_rules=10**6, decision="vote"),
    "1,000,000 rules": Size(n_atoms=1000, n_rules=10**6),
    "100,000 atoms, a rule for each": Size(n_atoms=10**5, n_rules=10**5),
    "10,000,000 samples": Size(n_samples=10**7),
}


def make_program(size: Size) -> Program:
    rng = random.Random(0)
    atoms = tuple(InputAtom("f", i, ">", 0.5) for i in range(size.n_atoms))
    rules = []
    for number in range(size.n_rules):
        body = tuple(rng.choice((atom, ~atom)) for atom in rng.sample(range(size.n_atoms), 3))
        rules.append(ClassRule(number % size.n_classes, body))
    classes = tuple(map("c{}".format, range(size.n_classes)))
    return Program(Quantiser(atoms), classes, tuple(rules), decision=Decision(size.decision))


def try_size(size: Size) -> str:
    """What comes of a program of this size: that it works, or why it is refused."""
    try:
        program = parse_program(print_program(make_program(size)))
        shape = size.n_atoms, count_words(size.n_samples)
        words = torch.randint(-(2**31), 2**31 - 1, shape, generator=torch.Generator().manual_seed(0))
        evaluator = Evaluator(program)
        bits = BitMatrix(mask_tail(words.to(torch.int32), size.n_samples), size.n_samples, evaluator.inputs)
        classes = evaluator.predict(bits).classes if size.with_rules else evaluator.classes(bits)
    except EricError as error:
        return f"refused: {error}"
    assert len(classes) == size.n_samples
    return "works"


def measure_case(name: str) -> dict[str, Any]:
    """Run a case in a process of its own. AssertionError: it ended otherwise than it should."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.limits", name], capture_output=True, text=True, timeout=MOST_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    print(f"{name}: {done.stdout.strip()}, {time.perf_counter() - begin:.0f} s", flush=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    if sys.argv[1:]:
        outcome = try_size(CASES[sys.argv[1]])
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = round(used.ru_utime + used.ru_stime, 1)
        print(json.dumps({"outcome": outcome, "seconds": seconds, "memory": used.ru_maxrss * 1024}))
        return
    for name in CASES:
        record("limits", name, measure_case(name))


if __name__ == "__main__":
    main()
