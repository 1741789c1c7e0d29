"""`python -m bench pack`: reduce, compare and pack, against torch and NumPy, beside what memory gives.

GB/s are bytes of the input a second; `copy` is torch's copy of 256 MiB, bytes read and written, in the same run: a
figure near it is as fast as the data can come.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.harness import describe_machine, run_tests_first, time_runs
from bench.screen import make_table
from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.show.console import stdout

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.int8}
MAPS = ((7, 512), (14, 256), (32, 64), (112, 64))  # pixels a side, kernels
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
COLUMNS = ((512, 512), (50, 2000))  # columns, atoms
INPUT_BYTES = 2**26  # of one case; caches hold less
COMPILED = ("maps float32", "maps int8")  # cases that torch.compile takes part in unless all is asked for: it takes
# longer to compile one than all others take to run
SCALE = 0.03

Runs = dict[str, Callable[[], Any]]


def run_case(full: bool = False) -> dict[str, Any]:
    """Time every case. `full`: inputs four times as large, and torch.compile everywhere."""
    run_tests_first("test_pack.py")
    n_bytes = INPUT_BYTES * (4 if full else 1)
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    rows = []
    for device in devices:
        wait = torch.cuda.synchronize if device == "cuda" else None
        source, target = torch.ones(2**26, device=device), torch.empty(2**26, device=device)
        for case, n_samples, input_bytes, runs in _list_cases(device, n_bytes, full):
            copy_gb = 2 * source.nbytes / time_runs(partial(target.copy_, source), n_runs=7, wait=wait).median_s / 1e9
            timings = {who: time_runs(run, n_runs=7 if who == "ours" else 3, wait=wait) for who, run in runs.items()}
            best_rival = min(timing.median_s for who, timing in timings.items() if who != "ours")
            for who, timing in timings.items():
                gb = input_bytes / timing.median_s / 1e9
                rows.append(
                    {
                        "case": case,
                        "device": device,
                        "who": who,
                        "n_samples": n_samples,
                        **timing._asdict(),
                        "gb_per_s": round(gb, 2),
                        "copy_gb_per_s": round(copy_gb, 1),
                        "share_of_copy": round(gb / copy_gb, 3),
                        "ratio_to_best_rival": round(best_rival / timing.median_s, 2),
                    }
                )
            stdout.print(_describe(rows[-len(timings) :]))
    _print(rows)
    machine: dict[str, str] = describe_machine("numpy")
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {"machine": machine, "rows": rows}


def _list_cases(device: str, n_bytes: int, full: bool) -> Iterator[tuple[str, int, int, Runs]]:
    """(case, samples, bytes, who -> run)."""
    generator = torch.Generator().manual_seed(0)
    for name, dtype in DTYPES.items():
        for size, n_kernels in MAPS:
            n_images = n_bytes // (n_kernels * size * size * dtype.itemsize)
            maps = torch.randn(n_images, n_kernels, size, size, generator=generator)
            maps = (maps / SCALE).clamp(-127, 127).to(dtype) if dtype == torch.int8 else maps.to(dtype)
            for layout, memory_format in LAYOUTS.items():
                there = maps.to(device).contiguous(memory_format=memory_format)
                case = f"maps {name} {layout} {size}x{size}"
                runs = _list_map_runs(there, compiled=full or device == "cuda" or case.startswith(COMPILED))
                yield case, n_images, there.nbytes, runs
    for n_columns, n_atoms in COLUMNS:
        for layout in ("rows", "columns"):
            n_samples = n_bytes // (4 * n_columns)
            columns = torch.randn(n_samples, n_columns, generator=generator).to(device)
            columns = columns if layout == "rows" else columns.T.contiguous().T
            column_of_atom = torch.arange(n_atoms, device=device) * 7919 % n_columns if n_atoms != n_columns else None
            case = f"columns float32 by {layout}, {n_columns} columns, {n_atoms} atoms"
            yield case, n_samples, columns.nbytes, _list_column_runs(columns, column_of_atom, n_atoms)


def _list_map_runs(maps: Tensor, *, compiled: bool) -> Runs:
    constants = torch.full((maps.shape[1],), 0.8, device=maps.device)
    operators = torch.full((maps.shape[1],), kernels.GREATER, dtype=torch.int8, device=maps.device)
    scale = SCALE if maps.dtype == torch.int8 else None

    def compare() -> Tensor:
        values = maps.float() * SCALE if maps.dtype == torch.int8 else maps
        return values.abs().mean((2, 3), dtype=torch.float32).gt(constants)

    runs: Runs = {
        "ours": lambda: kernels.pack_maps(maps, constants, operators, scale=scale),
        "torch": lambda: pack_bits(compare()),
    }
    if maps.device.type == "cpu":
        runs["torch + numpy.packbits"] = lambda: np.packbits(compare().T.numpy(), axis=1, bitorder="little")
    if compiled:
        torch._dynamo.reset()
        runs["torch.compile"] = torch.compile(lambda: pack_bits(compare()), dynamic=False)
    return runs


def _list_column_runs(columns: Tensor, column_of_atom: Tensor | None, n_atoms: int) -> Runs:
    constants = torch.zeros(n_atoms, device=columns.device)
    operators = torch.full((n_atoms,), kernels.GREATER, dtype=torch.int8, device=columns.device)

    def compare() -> Tensor:
        return (columns if column_of_atom is None else columns[:, column_of_atom]).gt(constants)

    runs: Runs = {
        "ours": lambda: kernels.pack_columns(columns, column_of_atom, constants, operators),
        "torch": lambda: pack_bits(compare()),
    }
    if columns.device.type == "cpu":
        array, thresholds = columns.numpy(), constants.numpy()
        order = slice(None) if column_of_atom is None else column_of_atom.numpy()
        runs["numpy"] = lambda: np.packbits((array[:, order] > thresholds).T, axis=1, bitorder="little")
    return runs


def _describe(rows: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{row['who']} {row['gb_per_s']:.1f}" for row in rows)
    return f"{rows[0]['device']} {rows[0]['case']}: {shown} GB/s; copy {rows[0]['copy_gb_per_s']:.0f}"


def _print(rows: list[dict[str, Any]]) -> None:
    table = make_table(
        "reduce, compare and pack: ours, medians", "case", ("device", "GB/s", "of copy", "to the best rival")
    )
    for row in rows:
        if row["who"] == "ours":
            numbers = (f"{row['gb_per_s']:.1f}", f"{row['share_of_copy']:.0%}", f"{row['ratio_to_best_rival']:.1f}x")
            table.add_row(row["case"], row["device"], *numbers)
    stdout.print(table)
