"""`python -m tests.guided_fuzz all|READER,... SECONDS`: each reader under atheris, led by the code that inputs reach.

Needs `pip install --group fuzz`. The corpus of a reader grows in `.cache/corpus`, from the kept one in `tests/corpus`,
which `python -m tests.guided_fuzz keep` brings up to date. An input that crashes, hangs or raises anything but an
`EricError` ends the run, and stays in `.cache/corpus`.

Without atheris, `mutate` gives inputs from the kept corpus, drawn by hypothesis: the tests read a few hundred of them.
"""

import hashlib
import logging
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_name("corpus")
GROWN = ROOT / ".cache" / "corpus"
MOST_SECONDS, MOST_MEGABYTES = 10, 4096  # of one input; of the process
MOST_BYTES, MOST_KEPT = 4096, 12  # of a kept input; inputs a reader
N_SEEDS = 12
SAME_READERS = ("onnx graph", "manifest")  # as `onnx` and `capture`, with other inputs
# Packages whose code leads the fuzzer; what Numba compiles can't be measured
MEASURED = ["eric_fast.text", "eric_fast.program", "eric_fast.frontends", "eric_fast.store", "eric_fast.table.files"]
COMPILED = ["eric_fast.frontends.trees.leaf_paths"]
Readers = dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], object]]]
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def list_readers() -> Readers:
    """By name: what makes a good input, and what reads one."""
    from tests.fuzz import FORMATS
    from tests.fuzz_files import FILES

    formats = {name: (found[0], found[1]) for name, found in FORMATS.items() if name not in SAME_READERS}
    return {**formats, **FILES}


def read_input(read: Callable[[bytes], object], content: bytes) -> None:
    """Read an input, or have it refused. AssertionError: it was refused without a word."""
    from eric_fast.errors import EricError

    reason = "none"
    try:
        read(content)
    except EricError as error:
        reason = str(error)
    assert reason, "refused without a word"


def list_kept(reader: str) -> list[bytes]:
    """The kept corpus of a reader."""
    return [path.read_bytes() for path in sorted((KEPT / name_folder(reader)).iterdir())]


def name_folder(reader: str) -> str:
    return reader.replace(" ", "-")


def mutate(corpus: list[bytes]) -> st.SearchStrategy[bytes]:
    """Inputs of the corpus with pieces of it, and of others, put in, taken out and changed."""
    pieces = st.one_of(
        st.binary(max_size=4),
        st.sampled_from(corpus).flatmap(
            lambda content: st.integers(0, len(content)).map(lambda a: content[a : a + 20])
        ),
        st.sampled_from((b"\0", b"\xff" * 8, b"-1", b"99999999999999999999", b"nan", b"\n", b'"', b"(", b"{", b"[")),
    )
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), pieces), max_size=6)
    return st.builds(apply_edits, st.sampled_from(corpus), edits)


def apply_edits(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Each edit takes some bytes out at a place, a share of the length, and puts others in."""
    for share, n_out, new in edits:
        place = int(share * len(content))
        content = content[:place] + new + content[place + n_out :]
    return content


@cache
def list_measured_readers() -> Readers:
    """The readers, whose code tells what an input reached."""
    import atheris

    with atheris.instrument_imports(include=MEASURED, exclude=COMPILED):
        return list_readers()


def run_fuzzer(reader: str, *options: str) -> str:
    """Run libFuzzer on a reader, in a child, which it ends; what it said. AssertionError: an input that fails."""
    read = list_measured_readers()[reader][1]
    with tempfile.TemporaryFile() as said:
        process = os.fork()
        if process == 0:
            import atheris

            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            logging.disable()
            atheris.Setup(["fuzz", *options], lambda content: read_input(read, content))
            atheris.Fuzz()
            os._exit(1)  # it exits by itself
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        said.seek(0)
        text = said.read().decode(errors="replace")
    assert code == 0, f"{reader}: exit code {code}\n{text[-6000:]}"
    return text


def grow_corpus(reader: str, seconds: int) -> dict[str, Any]:
    """Fuzz for so long, from all that is known; what was done."""
    folder = GROWN / name_folder(reader)
    folder.mkdir(parents=True, exist_ok=True)
    make, read = list_measured_readers()[reader]
    for number in range(N_SEEDS):
        content = make(random.Random(f"{reader}/{number}"))
        read_input(read, content)  # compiles, once for all children
        write_input(folder, content)
    for path in (KEPT / name_folder(reader)).glob("*"):
        write_input(folder, path.read_bytes())
    said = run_fuzzer(
        reader,
        f"-max_total_time={seconds}",
        f"-timeout={MOST_SECONDS}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        "-print_final_stats=1",
        f"-artifact_prefix={folder.parent}/failed-{folder.name}-",
        str(folder),
    )
    [n_inputs] = map(int, _DONE.findall(said))
    return {"seconds": seconds, "inputs": n_inputs, "corpus": len(list(folder.iterdir()))}


def write_input(folder: Path, content: bytes) -> None:
    (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def keep_corpus(reader: str) -> int:
    """Keep some small inputs of the grown corpus, of all sizes; each reached code that those before it didn't."""
    kept = KEPT / name_folder(reader)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    contents = {path.read_bytes() for path in (GROWN / name_folder(reader)).iterdir()}
    small = sorted((c for c in contents if 0 < len(c) <= MOST_BYTES), key=lambda content: (len(content), content))
    n_kept = min(MOST_KEPT, len(small))
    for number in range(n_kept):
        write_input(kept, small[number * len(small) // n_kept])
    return n_kept


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "keep":
        for reader in list_readers():
            print(f"{reader}: {keep_corpus(reader)} inputs kept", flush=True)
        return
    from tests.fault_table import read_results, record

    failed = []
    for reader in list_measured_readers() if what == "all" else what.split(","):
        try:
            found = grow_corpus(reader, int(rest[0]))
        except AssertionError as error:
            print(error, flush=True)
            failed.append(reader)
            continue
        before = read_results().get("fuzz", {}).get(reader, {"seconds": 0, "inputs": 0})
        record("fuzz", reader, {**found, **{key: before[key] + found[key] for key in before if key != "corpus"}})
        print(f"{reader}: {found['inputs']:,} inputs in {found['seconds']} s, no failure", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
