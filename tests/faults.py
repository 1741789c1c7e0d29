"""`python -m tests.faults CHECKS|all [KILLS FLIPS SEED IMAGES]`: what goes wrong on a machine, done to captures.

Every check begins a capture by the command line, in a process of its own, disturbs it, gives the same command again,
and compares the folder byte for byte with that of an undisturbed run. Mounts need root; without it those checks say so.
How often each was done goes into `fault_results.json`.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
import torch

from eric_fast.errors import CaptureError
from eric_fast.store import open_capture, verify_capture
from tests.disturb import SECONDS, fill_disk, mount
from tests.fault_place import Place, check_no_half_shard, read_folder, wait, wait_for_shard
from tests.fault_table import record

NOT_DONE = "not done"
# Of a shard's bytes; None: the shard is gone
DAMAGES: tuple[Callable[[bytes], bytes] | None, ...] = (
    lambda content: content[:-1],
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: content + b"\0",
    None,
)


def check_kills(place: Place) -> str:
    """kill -9 at random moments, one after the other on the same folder while it isn't finished."""
    n_unfinished = 0
    for _ in range(place.n_kills):
        process, said = place.start("killed")
        time.sleep(place.rng.uniform(0, place.seconds))
        os.kill(process, signal.SIGKILL)
        code, _ = wait((process, said))
        n_unfinished += code == -signal.SIGKILL
        check_no_half_shard(place.root / "killed")
        if code == 0:
            assert read_folder(place.root / "killed") == place.whole
            shutil.rmtree(place.root / "killed")
    place.finish("killed")
    return f"{place.n_kills} times kill -9, {n_unfinished} of them before the end; resumed to the same bytes"


def check_ranks(place: Place) -> str:
    """kill -9 of one of two processes under torchrun at random moments, and the same command again."""
    begin = time.perf_counter()
    done = place.start_ranks("ranks").wait()
    seconds = time.perf_counter() - begin
    assert read_folder(place.root / "ranks") == place.whole, done.stderr
    n_kills, n_unfinished = max(1, place.n_kills // 4), 0
    for _ in range(n_kills):
        shutil.rmtree(place.root / "ranks", ignore_errors=True)
        begin = time.perf_counter()
        started = place.start_ranks("ranks")
        time.sleep(place.rng.uniform(0.5, 0.95) * seconds)
        while started.is_running and not (ranks := started.list_ranks()):
            assert time.perf_counter() - begin < SECONDS, "no process starts"
        if started.is_running:
            with contextlib.suppress(ProcessLookupError):  # it may have ended just now
                os.kill(place.rng.choice(ranks), signal.SIGKILL)
        n_unfinished += started.wait().returncode != 0
        check_no_half_shard(place.root / "ranks")
        done = place.start_ranks("ranks").wait()
        assert done.returncode == 0, done.stderr
        assert read_folder(place.root / "ranks") == place.whole, done.stderr
    return f"{n_kills} times kill -9 of one of two processes, {n_unfinished} before the end; resumed to the same bytes"


def check_interrupt(place: Place) -> str:
    started = place.start("stopped")
    wait_for_shard(place.root / "stopped", 0)
    os.kill(started[0], signal.SIGINT)
    code, said = wait(started)
    assert code == 128 + signal.SIGINT, said
    assert "run the same command again" in said, said
    assert "Traceback" not in said, said
    assert not [name for name in read_folder(place.root / "stopped") if name.startswith(".eric")]
    check_no_half_shard(place.root / "stopped")
    place.finish("stopped")
    return "Ctrl-C: exit code 130, no half shard; resumed to the same bytes"


def check_two(place: Place) -> str:
    first = place.start("two")
    wait_for_shard(place.root / "two", 0)
    os.kill(first[0], signal.SIGSTOP)
    code, said = wait(place.start("two"))
    os.kill(first[0], signal.SIGCONT)
    assert code == 2, said
    assert "another process is writing" in said, said
    assert wait(first)[0] == 0
    assert read_folder(place.root / "two") == place.whole
    return "two captures into one folder: the second is refused, the first is not disturbed"


def check_jpeg(place: Place) -> str:
    path = place.root / "images" / "dog" / f"{(place.n_images - 2) // 2 * 2 + 1:05d}.jpg"
    content = path.read_bytes()
    started = place.start("jpeg")
    wait_for_shard(place.root / "jpeg", 0)
    path.write_bytes(bytes(len(content)))
    try:
        code, said = wait(started)
        assert code == 2, said
        assert path.name in said, said
    finally:
        path.write_bytes(content)
    check_no_half_shard(place.root / "jpeg")
    place.finish("jpeg")
    return "a JPEG that turns unreadable half-way is named; mended, the capture resumes to the same bytes"


def check_damage(place: Place) -> str:
    """Bits flipped, files cut, lengthened, swapped: each is noticed by verify and by whoever reads all."""
    place.finish("damaged")
    shards = sorted((place.root / "damaged").glob("*.safetensors"))

    def is_noticed(shard: Path) -> None:
        assert list(verify_capture(place.root / "damaged").wrong) == [shard.name]
        with pytest.raises(CaptureError, match=shard.name):
            open_capture(place.root / "damaged").read_activations()

    for _ in range(place.n_flips):
        shard = place.rng.choice(shards)
        content = shard.read_bytes()
        bit = place.rng.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        shard.write_bytes(flipped)
        is_noticed(shard)
        shard.write_bytes(content)
    for damage in DAMAGES:
        shard = place.rng.choice(shards)
        shard.write_bytes(damage(shard.read_bytes())) if damage else shard.unlink()
        is_noticed(shard)
        place.finish("damaged")
    first, second = shards[:2]
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0]), first.write_bytes(contents[1])
    assert set(verify_capture(place.root / "damaged").wrong) == {first.name, second.name}
    place.finish("damaged")
    return f"{place.n_flips} bits flipped, shards cut, lengthened, gone, swapped: each noticed, named, and made anew"


def check_disk(place: Place) -> str:
    n_bytes = sum(map(len, place.whole.values()))
    with mount(place.root / "tight", f"size={n_bytes // 2}") as mounted:
        if not mounted:
            return f"{NOT_DONE}: only root may mount a small disk"
        code, said = wait(place.start("tight/c"))
        assert code == 2, said
        assert "on disk, but only" in said, said
    with mount(place.root / "full", f"size={2 * n_bytes}"):
        started = place.start("full/c")
        wait_for_shard(place.root / "full" / "c", 0)
        os.kill(started[0], signal.SIGSTOP)
        fill_disk(place.root / "full" / "other")
        os.kill(started[0], signal.SIGCONT)
        code, said = wait(started)
        assert code == 2, said
        assert "No space left on device" in said, said
        check_no_half_shard(place.root / "full" / "c")
        (place.root / "full" / "other").unlink()
        place.finish("full/c")
    return "a disk that is too small is refused at once, one that fills up is named; resumed to the same bytes"


def check_read_only(place: Place) -> str:
    with mount(place.root / "fixed", "size=1m") as mounted:
        if not mounted:
            return f"{NOT_DONE}: only root may mount a read-only disk"
        subprocess.run(["mount", "-o", "remount,ro", place.root / "fixed"], check=True)
        code, said = wait(place.start("fixed/c"))
        assert code == 2, said
        assert "can't be written" in said, said
        assert "Traceback" not in said, said
    return "a read-only disk is refused in words"


CHECKS: dict[str, Callable[[Place], str]] = {
    "kills": check_kills,
    "ranks": check_ranks,
    "interrupt": check_interrupt,
    "two": check_two,
    "jpeg": check_jpeg,
    "damage": check_damage,
    "disk": check_disk,
    "read-only": check_read_only,
}


def run_checks(names: Sequence[str], n_kills: int, n_flips: int, seed: int, n_images: int) -> Iterator[tuple[str, str]]:
    """What was done of each check, by its name."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads are lost in a fork
    for module in ("eric_fast.capture.job", "eric_fast.capture.load", "torchvision"):  # once, not in every fork
        import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), random.Random(seed), n_kills, n_flips, n_images)
        print(f"an undisturbed run takes {place.seconds:.1f} s", flush=True)
        for name in names:
            yield name, CHECKS[name](place)
    torch.set_num_threads(n_threads)


def main() -> None:
    name, *numbers = sys.argv[1:]
    n_kills, n_flips, seed, n_images = (*map(int, numbers), *(20, 200, 0, 3500)[len(numbers) :])
    names = list(CHECKS) if name == "all" else name.split(",")
    for chosen, told in run_checks(names, n_kills, n_flips, seed, n_images):
        if not numbers and not told.startswith(NOT_DONE):  # a share of the tries is no result
            n_damages = n_flips + len(DAMAGES) + 1
            n_tries = {"kills": n_kills, "ranks": max(1, n_kills // 4), "damage": n_damages, "disk": 2}
            record("captures", chosen, n_tries.get(chosen, 1))
        print(f"{chosen}: {told}", flush=True)


if __name__ == "__main__":
    main()
