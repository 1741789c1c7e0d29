"""`python -m tests.fuzz FORMAT|all N [SEED]`: N damaged files; each is read, or refused in words, and in time.

What is read answers as its source does, where that reads the file, too. A format is what makes a good file from a
random generator, and what reads one. Add yours to `FORMATS`. The last results are in `FUZZ.md`.
"""

import logging
import random
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from eric_fast.errors import EricError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.rules.asp import from_asp
from eric_fast.frontends.trees.onnx import read_onnx
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from eric_fast.text.files import decode_text
from tests.fuzz_answers import compare_answers
from tests.fuzz_boosters import BOOSTERS, read_model
from tests.fuzz_captures import make_capture, make_odd_capture, read_capture
from tests.make_circuits import draw
from tests.make_programs import make_program
from tests.make_rules_text import DIALECTS, make_rules_text

MOST_SECONDS = 5.0  # of one file, in this process alone
MOST_BYTES = 2**31  # of the address space, beyond what the command has when everything is made that it damages

HEADER = """# Damaged files

`python -m tests.fuzz {name} {n_files} {seed} > tests/FUZZ.md`: {n_files:,} damaged files of each format.
Each is refused in words or read, within 5 seconds of CPU and 2 GiB; where the source reads it, too, both answer alike.
Anything else stops the run.

| format | refused | read | answered by the source, too |
|---|---|---|---|"""

Maker = Callable[[random.Random], bytes]
Reader = Callable[[bytes], object]


class Format(NamedTuple):
    """One format.

    Attributes:
        make: a good file from a random generator.
        read: what reads it.
        source: the tool whose answers those of models that it reads are compared with; a key of `SOURCES`.
        damaged: whether files are damaged as they are made.
    """

    make: Maker
    read: Reader
    source: str = ""
    damaged: bool = False


def make_graph(rng: random.Random) -> bytes:
    """See `make_damaged_graph`, whose module needs `onnx`."""
    from tests.fuzz_onnx import make_damaged_graph

    return make_damaged_graph(rng)


FORMATS = {
    **{name: Format(*parts) for name, parts in BOOSTERS.items()},
    "onnx graph": Format(make_graph, partial(read_model, read_onnx), "onnxruntime", damaged=True),
    "capture": Format(make_capture, read_capture),
    "manifest": Format(make_odd_capture, read_capture, damaged=True),
    "asp": Format(
        lambda rng: make_rules_text(rng, rng.choice(DIALECTS)).encode(),
        lambda content: from_asp(decode_text(content, "fuzz")),
    ),
    **{kind: Format(partial(draw, kind=kind), from_circuit) for kind in ("aag", "aig", "blif")},
    "program": Format(
        lambda rng: print_program(make_program(rng.randint)).encode(),
        lambda content: parse_program(decode_text(content, "fuzz")),
    ),
}


class Tally(NamedTuple):
    """How many damaged files were read, of these how many are answered as their source does, and how many refused."""

    n_read: int
    n_equal: int
    n_refused: int


def damage(rng: random.Random, content: bytes) -> bytes:
    """The content with a few bytes changed, pieces moved, doubled, dropped or cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + rng.choice((1, 2, 5, 20, 200)))
        match rng.randrange(6):
            case 0:
                data[a:b] = bytes(rng.choice(rng.choice((b"()'\",.:-%#{};|\\_ X0\n", bytes(range(256))))) for _ in "ab")
            case 1:
                del data[a:b]
            case 2:
                data[a:a] = data[a:b] * rng.choice((1, 2, 50))
            case 3:
                place = rng.randrange(len(data) + 1)
                data[place:place] = data[a:b]
            case 4:
                del data[a:]
            case _:
                for place in range(a, min(b, len(data))):
                    data[place] ^= 1 << rng.randrange(8)
    return bytes(data)


def change_byte(rng: random.Random, content: bytes) -> bytes:
    """The content with one byte another: most of it is right, so what lies deep in it is reached."""
    data = bytearray(content)
    data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), ord(rng.choice("0123456789-.e,[]{}"))))
    return bytes(data)


def check_format(name: str, n_files: int, seed: int = 0, *, compare: bool = False) -> Tally:
    """Read damaged files, and `compare` what is read with the source's answers.

    Raises:
        AssertionError: anything but a model that answers as its source does, or an EricError; with the file.
    """
    kind = FORMATS[name]
    n_read = n_equal = 0
    reasons = []
    for i in range(n_files):
        rng = random.Random(f"{name}/{seed}/{i}")
        content = kind.make(rng)
        if not kind.damaged:
            content = rng.choice((damage, change_byte) if kind.source else (damage,))(rng, content)
        start = time.process_time()
        try:
            model = kind.read(content)
            n_read += 1
            if compare and kind.source and isinstance(model, RuleModel):
                n_equal += compare_answers(kind.source, content, model)
        except EricError as error:
            reasons.append(str(error))
        except BaseException as error:
            raise AssertionError(f"file {i} of seed {seed}: {type(error).__name__}: {error}: {content!r}") from error
        seconds = time.process_time() - start
        assert seconds < MOST_SECONDS, f"file {i} of seed {seed} took {seconds:.1f} s: {content[:10_000]!r}"
    assert all(reasons), f"{name} was refused without a word"
    return Tally(n_read, n_equal, len(reasons))


def limit_memory() -> None:
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = n_pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    logging.disable()
    name, n_files = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    chosen = list(FORMATS) if name == "all" else [name]
    for each in chosen:
        FORMATS[each].make(random.Random(0))  # trains what is damaged, which takes threads
    limit_memory()
    print(HEADER.format(name=name, n_files=n_files, seed=seed), flush=True)
    for each in chosen:
        n_read, n_equal, n_refused = check_format(each, n_files, seed, compare=True)
        source = FORMATS[each].source
        answered = f"{n_equal:,}, {source}" if source else ""
        print(f"| {each} | {n_refused:,} | {n_read:,} | {answered} |", flush=True)


if __name__ == "__main__":
    main()
