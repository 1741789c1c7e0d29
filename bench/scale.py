"""ImageNet's size: evaluating and extracting from a capture of 1,281,167 images x 4,224 kernels on disk.

The capture is made up, shard by shard: bits of VGG-16's thirteen layers, each kernel a noisy majority of five literals
of the layer below, and a class in ten bits of the last one. Each run is a process of its own, or two under torchrun,
each on one core and one thread: cold (the files' pages dropped first) and warm. What is timed is the library's own
call, reading and checking included, but not the start of Python; compiling is done before, on a small capture. What is
extracted are all 256 kernels of a layer from the 256 below, and the classes from these, as trees, which are evaluated
then, and as weight rules.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.harness import CACHE, ROOT, describe_machine, time_runs
from bench.screen import print_dicts
from eric_fast.bits import count_words, mask_tail, unpack_words
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.show.console import stdout
from eric_fast.store import Manifest, Samples, Thresholds, write_capture
from eric_fast.store.activations import CaptureSettings

N_IMAGES, N_CLASSES = 1_281_167, 1000
KERNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
LAYERS = {f"conv{i:02d}": n for i, n in enumerate(KERNELS)}
WARM_UP = 4096  # images of the small capture
Words = NDArray[np.int64]


def run_case(full: bool = False) -> dict[str, Any]:
    """Make the capture, then evaluate and extract with one process and with two; print what each took.

    `full`: five runs of extracting instead of three, from warm files.
    """
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="scale-") as folder:
        started = time.perf_counter()
        whole, small = Path(folder) / "whole", Path(folder) / "small"
        for path, n_images in ((small, WARM_UP), (whole, N_IMAGES)):
            write_made_up(path, n_images)
        making_s = time.perf_counter() - started
        n_bytes = sum(file.stat().st_size for file in whole.iterdir())
        stdout.print(f"made {N_IMAGES:,} images x {sum(KERNELS):,} kernels in {making_s:.0f} s: {n_bytes / 1e9:.2f} GB")
        limits = measure_limits(whole)
        runs = {"extract": 5 if full else 3, "evaluate": 9, "extract weights": 9}
        rows = [row for stage, n_runs in runs.items() for row in _time_stage(stage, Path(folder), n_runs)]
    _print(rows, limits)
    return {
        "machine": describe_machine(),
        "capture": {"n_bytes": n_bytes, "making_s": making_s},
        "limits": limits,
        "rows": rows,
    }


# --- the capture


def write_made_up(path: Path, n_images: int) -> None:
    """Bits alone, as `eric-fast capture --store bits` writes them."""
    quantiser = Quantiser(tuple(InputAtom(layer, k, ">", 0.5) for layer, n in LAYERS.items() for k in range(n)), "l1")
    manifest = Manifest(
        layers=LAYERS,
        classes=tuple(f"class{i:04d}" for i in range(N_CLASSES)),
        settings=CaptureSettings(model="made up", fingerprint="5eed", data="made up"),
        store="bits",
        n_listed=n_images,
        thresholds=Thresholds(quantiser, "made up"),
    )
    network = _draw_network()
    with write_capture(path, manifest) as writer:
        for number in range(manifest.n_shards):
            start, stop = manifest.images_of_shard(number)
            words, classes = _make_shard(network, stop - start, number)
            ids = [f"{i:08d}" for i in range(start, stop)]
            writer.write_shard(number, Samples(ids, classes, classes, words=words))
        writer.finish()


def _draw_network() -> list[tuple[Words, Words]]:
    """For each layer above the first, and for ten bits of the class: five inputs of each kernel, and their signs."""
    rng = np.random.default_rng(1)
    widths = [*KERNELS, 10]
    return [
        (np.array([rng.choice(below, 5, replace=False) for _ in range(n)]), -rng.integers(0, 2, (n, 5)))
        for below, n in pairwise(widths)
    ]


def _make_shard(network: list[tuple[Words, Words]], n: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    rng = np.random.default_rng([2, seed])

    def draw(n_rows: int) -> Words:
        return rng.integers(-(2**63), 2**63, (n_rows, count_words(n) // 2), dtype=np.int64)

    rows = draw(KERNELS[0])
    layers = [rows]
    for inputs, signs in network:
        a, b, c, d, e = (rows[inputs[:, i]] ^ signs[:, i, None] for i in range(5))
        noise = draw(len(inputs)) & draw(len(inputs)) & draw(len(inputs)) & draw(len(inputs))  # one bit in sixteen
        rows = _vote(a, b, c, d, e) ^ noise
        layers.append(rows)
    bits = unpack_words(torch.from_numpy(layers.pop()).view(torch.int32), n)  # of the class
    classes = (bits.long() << torch.arange(10)).sum(dim=1) % N_CLASSES
    words = {
        layer: mask_tail(torch.from_numpy(rows).view(torch.int32), n)
        for layer, rows in zip(LAYERS, layers, strict=True)
    }
    return words, classes


def _vote(a: Words, b: Words, c: Words, d: Words, e: Words) -> Words:
    """Where three or more of five are true, by two full adders."""
    once = a ^ b ^ c
    twice = (a & b) | (c & (a | b))
    odd = once ^ d ^ e
    again = (once & d) | (e & (once | d))
    return (twice & again) | ((twice | again) & odd)


# --- what is timed, in processes of their own


def _time_stage(stage: str, folder: Path, n_runs: int) -> Iterator[dict[str, Any]]:
    results: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for number in range(1 + n_runs):
        for count in (1, 2):  # in turns: what else the machine does slows both
            if number == 0:
                drop_pages(folder / "whole")
            results.setdefault((count, "warm" if number else "cold"), []).append(_start(stage, folder, count))
    if len({runs[0]["result"] for runs in results.values()}) != 1:
        raise SystemExit(f"{stage}: the result of two processes is not that of one")
    for (count, temperature), runs in results.items():
        seconds = median(run["seconds"] for run in runs)
        alone = median(run["seconds"] for run in results[1, temperature])
        yield {
            "stage": stage,
            "processes": count,
            "files": temperature,
            "seconds": seconds,
            "slowest_s": max(run["seconds"] for run in runs),
            "gb_read": runs[0]["n_bytes"] / 1e9,
            "gb_per_s": runs[0]["n_bytes"] / 1e9 / seconds,
            "ratio_to_one": alone / seconds,
            "peak_mb": max(run["peak"] for run in runs) / 1e6,
        }


def _start(stage: str, folder: Path, count: int) -> dict[str, Any]:
    """What the first process prints. Every process has a core and a thread."""
    single = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench.scale_run", stage, str(folder)]
    if count > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "-m"]
        command = [*launcher, "bench.scale_run", stage, str(folder)]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise SystemExit(f"{count} processes need {count} cores")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **single},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores[:count]),
    )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


# --- the machine's own limits


def measure_limits(path: Path) -> dict[str, float]:
    """GB/s of reading the capture's files from disk and from memory, hashing them, and copying memory; on one core."""
    files = sorted(path.glob("*.safetensors"))
    n_bytes = sum(file.stat().st_size for file in files)
    drop_pages(path)
    cold = time_runs(lambda: _read_all(files), n_runs=1, n_warmups=0)
    warm = time_runs(lambda: _read_all(files), n_runs=3, n_warmups=0)
    source = torch.ones(2**26, dtype=torch.int32)
    target = torch.empty_like(source)
    torch.set_num_threads(1)
    copy = time_runs(lambda: target.copy_(source), n_runs=5)
    return {
        "disk_gb_per_s": n_bytes / 1e9 / cold.median_s,
        "cached_file_gb_per_s": n_bytes / 1e9 / warm.median_s,
        "copy_gb_per_s": 2 * source.nbytes / 1e9 / copy.median_s,
    }


def _read_all(files: list[Path]) -> None:
    buffer = bytearray(2**24)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def drop_pages(path: Path) -> None:
    """Have the next reading of these files come from the disk."""
    os.sync()
    for file in path.iterdir():
        handle = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _print(rows: list[dict[str, Any]], limits: dict[str, float]) -> None:
    print_dicts("one thread a process, one core each", rows, names=("stage", "files"), decimals=2)
    stdout.print("; ".join(f"{name.replace('_', ' ')}: {value:.2f}" for name, value in limits.items()))
