"""Tables, tars of images and weights as bytes, for the fuzzers: what makes good ones, and what reads them."""

import io
import random
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from PIL import Image
from safetensors.torch import save as save_tensors

from eric_fast.capture.tars import TarImages
from eric_fast.capture.weights import read_weights
from eric_fast.frontends.registry import load
from eric_fast.table.columns import KnownTexts
from eric_fast.table.files import read_table

Maker = Callable[[random.Random], bytes]
Reader = Callable[[bytes], object]


def make_columns(rng: random.Random) -> dict[str, list[object]]:
    """Columns of numbers, truths and texts, with some values missing."""
    n_rows = rng.randrange(4)
    draws: tuple[Callable[[], object], ...] = (
        lambda: rng.choice((0, -1, 7, 2**40, None)),
        lambda: rng.choice((0.5, -1e300, float("nan"), None)),
        lambda: rng.choice(("a", 'é,"b"', "1.5", "", None)),
        lambda: rng.choice((True, False)),
    )
    return {f"c{i}": [draw() for _ in range(n_rows)] for i, draw in enumerate(rng.sample(draws, rng.randrange(1, 4)))}


def make_csv(rng: random.Random) -> bytes:
    with io.BytesIO() as file:
        pa.csv.write_csv(pa.table(make_columns(rng)), file)
        return file.getvalue()


def make_parquet(rng: random.Random) -> bytes:
    with io.BytesIO() as file:
        pa.parquet.write_table(pa.table(make_columns(rng)), file, compression=rng.choice(("none", "snappy")))
        return file.getvalue()


def make_array(rng: random.Random) -> np.ndarray:
    shape = [rng.randrange(4) for _ in range(rng.choice((1, 2, 2)))]
    return np.ones(shape, rng.choice(("<f4", ">f8", "<i8", "?", "<U3", "S2", "<f2", "u1")))


def make_npy(rng: random.Random) -> bytes:
    with io.BytesIO() as file:
        np.save(file, make_array(rng))
        return file.getvalue()


def make_npz(rng: random.Random) -> bytes:
    save = rng.choice((np.savez, np.savez_compressed))
    with io.BytesIO() as file:
        save(file, *(make_array(rng) for _ in range(rng.randrange(1, 3))))
        return file.getvalue()


def make_tar(rng: random.Random) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
            for number in range(rng.randrange(1, 3)):
                picture = io.BytesIO()
                Image.new("RGB", (3, 2)).save(picture, rng.choice(("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")))
                for name, content in ((f"c/{number}.png", picture.getvalue()), (f"c/{number}.cls", b"3")):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        return file.getvalue().rstrip(b"\0") + bytes(1024)


def make_tensors(rng: random.Random) -> dict[str, torch.Tensor]:
    dtypes = (torch.float32, torch.float16, torch.int64, torch.bool)
    return {f"module.{i}.weight": torch.ones(i, 2, dtype=rng.choice(dtypes)) for i in range(rng.randrange(1, 3))}


def make_checkpoint(rng: random.Random) -> bytes:
    with io.BytesIO() as file:
        torch.save({"state_dict": make_tensors(rng)}, file, _use_new_zipfile_serialization=rng.random() < 0.5)
        return file.getvalue()


def read_as_file(suffix: str, read: Callable[[Path], object], content: bytes) -> object:
    """Read the content as a file of a name with this suffix."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=suffix) as file:
        file.write(content)
        file.flush()
        return read(Path(file.name))


def use_table(path: Path) -> None:
    """Read all columns of a table, as numbers and as codes."""
    table = read_table(path)
    known = KnownTexts(["a", "1"], loose=True)
    for place in range(min(table.n_columns, 100)):
        column = table.read(place)
        column.to_numbers(torch.float32)
        column.to_codes(known)


def use_tar(path: Path) -> None:
    images = TarImages([path], "fuzz")
    for index in range(min(len(images), 3)):
        images.load_sample(index)


FILES: dict[str, tuple[Maker, Reader]] = {
    "csv": (make_csv, partial(read_as_file, ".csv", use_table)),
    "parquet": (make_parquet, partial(read_as_file, ".parquet", use_table)),
    "npy": (make_npy, partial(read_as_file, ".npy", use_table)),
    "npz": (make_npz, partial(read_as_file, ".npz", use_table)),
    "tar": (make_tar, partial(read_as_file, ".tar", use_tar)),
    "safetensors": (
        lambda rng: save_tensors(make_tensors(rng)),
        partial(read_as_file, ".safetensors", read_weights),
    ),
    "checkpoint": (make_checkpoint, partial(read_as_file, ".pth", read_weights)),
    "load": (make_csv, partial(read_as_file, "", load)),
}
