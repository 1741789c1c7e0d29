"""`python -m bench capture`: what capturing costs beside the bare network, and what reading images costs beside both.

Batches are decoded first, so that decoding hides nothing; then the bare network and the capture (the same network with
its norms, checked as a capture checks them) take turns, batch by batch. `--full` takes all of the images.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from bench.child import call_in_child, read_status
from bench.harness import SHARED, describe_machine, run_tests_first, unpack_shared
from bench.screen import make_table
from eric_fast.capture import CaptureOptions, LoadedModel, load_model, open_data
from eric_fast.capture.batches import ImageBatch, cut_batches, iterate_batches
from eric_fast.capture.forward import Answer, NetworkRunner, cast_as, place_network, plain_dtype
from eric_fast.capture.options import MEMORY_FORMATS
from eric_fast.show.console import show_notes, stdout
from eric_fast.store.activations import check_finite

GPU_BATCHES = 20  # of one turn on a GPU, where batches overlap
GPU_TURNS = 7
MEMORY_BATCHES = 2


@dataclass(frozen=True)
class Case:
    """One network on some images: `n_images` of `data`, or of noise where that is empty."""

    model: str
    weights: str | None
    data: str
    n_images: int
    batch_size: int
    device: str = "cpu"
    dtype: str = "float32"
    memory_format: str = "contiguous"
    n_layers: int | None = None  # the last so many; None: all

    def load(self) -> LoadedModel:
        return load_model(self.model, self.weights)

    def make_runner(self, model: LoadedModel, layers: Sequence[str] | None) -> NetworkRunner:
        options = CaptureOptions(
            layers=layers,
            device=self.device,
            dtype=self.dtype,
            memory_format=self.memory_format,
            batch_size=self.batch_size,
        )
        return NetworkRunner(model, options)

    def load_batches(self, model: LoadedModel) -> Iterator[ImageBatch]:
        """The images in batches, decoded in this process."""
        if self.data:
            data = open_data(self.data)
            n = min(self.n_images, len(data))
            indices = [i * len(data) // n for i in range(n)]
            yield from iterate_batches(data, cut_batches(indices, self.batch_size), model.transform, workers=0)
            return
        numbers = list(range(self.batch_size))
        images = torch.randn(self.batch_size, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        batch = ImageBatch(images, numbers, [0] * len(numbers), [], len(numbers))
        for _ in range(self.n_images // self.batch_size):
            yield batch.pin_memory() if self.device == "cuda" else batch


def run_case(full: bool = False) -> dict[str, Any]:
    """Time every case, on the CPU and on a GPU where there is one."""
    show_notes()
    run_tests_first(
        "test_capture_layers.py::test_maps_are_reduced_in_parts",
        "test_capture_run.py::test_norms_and_predictions_are_those_of_a_plain_run",
    )
    cifar = str(unpack_shared("cifar10.tar.gz", "cifar10") / "test")
    photos = str(unpack_shared("imagenet_sample.tar", "imagenet_sample"))
    trained = f"{SHARED / 'models' / 'cifar10_vgg.py'}:build"
    cases = [
        Case(trained, None, cifar, 10_000 if full else 1_000, 100),
        Case("vgg16", "none", photos, 128 if full else 16, 4),
    ]
    if torch.cuda.is_available():
        cases += [
            Case(name, "none", "", GPU_BATCHES * 128, 128, "cuda", "bfloat16", memory_format, n_layers)
            for name in ("vgg16", "resnet50")
            for memory_format in ("contiguous", "channels-last")
            for n_layers in (2, None)
        ]
    rows = []
    for case in cases:
        rows.append(measure_case(case))
        stdout.print(_describe(rows[-1]), markup=False)
    _print(rows)
    machine: dict[str, str] = describe_machine("torchvision")
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {"machine": machine, "rows": rows}


def measure_case(case: Case) -> dict[str, Any]:
    """One row of the table: speed, and the peak memory of processes of their own."""
    model = case.load()
    started = time.perf_counter()
    batches = list(case.load_batches(model))
    decode_s = time.perf_counter() - started
    n_images = sum(len(batch.indices) for batch in batches)
    layers = _find_layers(case, model, batches[0])
    bare, capture = _make_bare(case, model), _make_capture(case, model, layers)
    turns = [batches] * GPU_TURNS if case.device == "cuda" else [[batch] for batch in batches]
    started = time.perf_counter()
    capture(batches[:1])
    first_s = time.perf_counter() - started  # and traces the network
    bare(batches[:1])
    seconds = [(_time(bare, turn), _time(capture, turn)) for turn in turns]
    bare_s, capture_s = (sum(column) for column in zip(*seconds, strict=True))
    n_seen = n_images * (len(turns) if case.device == "cuda" else 1)
    memory = {
        f"{name}_peak_bytes": call_in_child(_measure_peak, {}, case, layers, name == "capture")
        for name in ("bare", "capture")
    }
    return {
        "model": Path(case.model).name,
        "device": case.device,
        "dtype": case.dtype,
        "memory_format": case.memory_format,
        "layers": "all" if case.n_layers is None else f"last {case.n_layers}",
        "n_images": n_images,
        "batch_size": case.batch_size,
        "bare_images_per_s": round(n_seen / bare_s, 3),
        "capture_images_per_s": round(n_seen / capture_s, 3),
        "overhead": round(capture_s / bare_s - 1, 4),
        "median_overhead": round(median(there / here for here, there in seconds) - 1, 4),
        "first_batch_s": round(first_s, 2),
        "decode_images_per_s": round(n_images / decode_s, 1) if case.data else None,
        **memory,
    }


def _find_layers(case: Case, model: LoadedModel, batch: ImageBatch) -> list[str] | None:
    if case.n_layers is None:
        return None
    one = ImageBatch(batch.images[:1], batch.indices[:1], batch.labels[:1], [], 1)
    answer = next(case.make_runner(model, None).run([one], [str(i) for i in range(case.batch_size)]))
    return list(answer.norms)[-case.n_layers :]


def _make_bare(case: Case, model: LoadedModel) -> Callable[[Sequence[ImageBatch]], None]:
    """The network alone, in the same dtype and layout: images to the device, and the answers' largest back."""
    device = torch.device(case.device)
    network: nn.Module = place_network(model.module, device, case.dtype, MEMORY_FORMATS[case.memory_format])

    def run(batches: Sequence[ImageBatch]) -> None:
        answers: list[Tensor] = []
        with torch.inference_mode(), cast_as(device, case.dtype), _exact():
            for batch in batches:
                images = batch.images.to(device, non_blocking=True).to(plain_dtype(case.dtype))
                logits = network(images.contiguous(memory_format=MEMORY_FORMATS[case.memory_format]))
                answers.append(logits.argmax(dim=1).to("cpu", non_blocking=True))
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _make_capture(
    case: Case, model: LoadedModel, layers: Sequence[str] | None
) -> Callable[[Sequence[ImageBatch]], list[Answer]]:
    """What `capture_activations` does with batches; the network is traced in the first call."""
    runner = case.make_runner(model, layers)
    ids = [str(i) for i in range(len(open_data(case.data)) if case.data else case.batch_size)]

    def run(batches: Sequence[ImageBatch]) -> list[Answer]:
        answers = []
        with torch.inference_mode(), _exact():
            for answer in runner.run(batches, ids):
                for layer, norms in answer.norms.items():
                    check_finite(layer, norms, ids)
                assert answer.logits is not None
                answer.logits.argmax(dim=1)
                answers.append(answer)
        return answers

    return run


def _exact() -> Any:
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def _time(run: Callable[[Sequence[ImageBatch]], object], batches: Sequence[ImageBatch]) -> float:
    started = time.perf_counter()
    run(batches)
    return time.perf_counter() - started


def _measure_peak(case: Case, layers: Sequence[str] | None, with_capture: bool) -> int:
    """Bytes by which this process, or its share of the GPU, grows over having the network and the images."""
    model = case.load()
    batches = list(islice(case.load_batches(model), MEMORY_BATCHES))
    run: Callable[[Sequence[ImageBatch]], object]
    run = _make_capture(case, model, layers) if with_capture else _make_bare(case, model)
    if case.device == "cuda":
        run(batches)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(batches)
        return torch.cuda.max_memory_allocated() - before
    before = read_status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    run(batches)
    return read_status("VmHWM") - before


def _describe(row: dict[str, Any]) -> str:
    return (
        f"{row['model']} {row['device']} {row['dtype']} {row['memory_format']}, {row['layers']} layers: bare "
        f"{row['bare_images_per_s']:,.1f}, capture {row['capture_images_per_s']:,.1f} images/s, {row['overhead']:+.1%}"
    )


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = make_table(
        "capture beside the bare network",
        "network",
        (
            "on",
            "layers",
            "images",
            "bare",
            "capture",
            "overhead",
            "its median",
            "decoding",
            "peak bare",
            "peak",
        ),
    )
    for row in rows:
        decode = row["decode_images_per_s"]
        table.add_row(
            row["model"],
            f"{row['device']} {row['dtype']} {row['memory_format']}",
            row["layers"],
            f"{row['n_images']:,}",
            f"{row['bare_images_per_s']:,.1f}/s",
            f"{row['capture_images_per_s']:,.1f}/s",
            f"{row['overhead']:+.1%}",
            f"{row['median_overhead']:+.1%}",
            "" if decode is None else f"{decode:,.0f}/s",
            f"{row['bare_peak_bytes'] / 1e6:,.0f} MB",
            f"{row['capture_peak_bytes'] / 1e6:,.0f} MB",
        )
    stdout.print(table)
