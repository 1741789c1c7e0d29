"""`python -m tests.fuzz FORMAT|all N [SEED]`: N damaged files; each is read, or refused in words, and in time.

A format is what makes a good file from a random generator, and what reads one. Add yours to `FORMATS`.
"""

import logging
import random
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

from eric_fast.errors import EricError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.rules.asp import from_asp
from eric_fast.frontends.trees.onnx import read_onnx
from eric_fast.text import parse_program, print_program
from eric_fast.text.files import decode_text
from tests.fuzz_boosters import BOOSTERS, read
from tests.fuzz_captures import make_capture, make_odd_capture, read_capture
from tests.make_circuits import draw
from tests.make_programs import make_program
from tests.make_rules_text import DIALECTS, make_rules_text

MOST_SECONDS = 5.0  # of one file, in this process alone
MOST_BYTES = 2**32  # of the address space of the whole command

Maker = Callable[[random.Random], bytes]
Reader = Callable[[bytes], object]


def make_graph(rng: random.Random) -> bytes:
    """See `make_damaged_graph`, whose module needs `onnx`."""
    from tests.fuzz_onnx import make_damaged_graph

    return make_damaged_graph(rng)


FORMATS: dict[str, tuple[Maker, Reader]] = {
    **BOOSTERS,
    "onnx graph": (make_graph, partial(read, read_onnx)),
    "capture": (make_capture, read_capture),
    "manifest": (make_odd_capture, read_capture),
    "asp": (
        lambda rng: make_rules_text(rng, rng.choice(DIALECTS)).encode(),
        lambda content: from_asp(decode_text(content, "fuzz")),
    ),
    **{kind: (partial(draw, kind=kind), from_circuit) for kind in ("aag", "aig", "blif")},
    "program": (
        lambda rng: print_program(make_program(rng.randint)).encode(),
        lambda content: parse_program(decode_text(content, "fuzz")),
    ),
}

DAMAGED = (make_odd_capture, make_graph)  # whose files are not as they should be already


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


def check_format(name: str, n_files: int, seed: int = 0) -> tuple[int, int]:
    """How many damaged files were read, and how many were refused. AssertionError: anything else, with the file."""
    make, read = FORMATS[name]
    n_read = 0
    reasons = []
    for i in range(n_files):
        rng = random.Random(f"{name}/{seed}/{i}")
        content = make(rng) if make in DAMAGED else damage(rng, make(rng))
        start = time.process_time()
        try:
            read(content)
            n_read += 1
        except EricError as error:
            reasons.append(str(error))
        except BaseException as error:
            raise AssertionError(f"file {i} of seed {seed}: {type(error).__name__}: {content!r}") from error
        seconds = time.process_time() - start
        assert seconds < MOST_SECONDS, f"file {i} of seed {seed} took {seconds:.1f} s: {content[:10_000]!r}"
    assert all(reasons), f"{name} was refused without a word"
    return n_read, len(reasons)


def main() -> None:
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    name, n_files = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    for chosen in FORMATS if name == "all" else (name,):
        n_read, n_refused = check_format(chosen, n_files, seed)
        print(f"{chosen}: {n_read:,} damaged files read, {n_refused:,} refused", flush=True)


if __name__ == "__main__":
    main()
