"""Run a network over ranges of images, with one `Activations` for each."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from eric_fast.capture.batches import cut_batches, iterate_batches
from eric_fast.capture.data import DataLabel, ImageData
from eric_fast.capture.forward import Answer, NetworkRunner
from eric_fast.capture.labels import match_labels, name_outputs
from eric_fast.capture.models import LoadedModel
from eric_fast.errors import DataError, SettingError
from eric_fast.program.layer_graph import Edge
from eric_fast.store.activations import (
    MOST_CLASSES,
    MULTILABEL,
    Activations,
    CaptureSettings,
    check_finite,
    check_logits,
    round_logits,
)

_log = logging.getLogger(__name__)
_MOST_HALF = torch.finfo(torch.float16).max


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """A network and the images that it will run over; made by `prepare_run`.

    Attributes:
        settings: settings of the capture, without the number of bad images, which isn't known yet.
        indices: indices of the images in the data.
        keeps_logits: whether the network's outputs are kept; see `choose_logits`.
    """

    model: LoadedModel
    data: ImageData
    settings: CaptureSettings
    indices: Sequence[int]
    runner: NetworkRunner
    keeps_logits: bool | None = None

    @property
    def n_images(self) -> int:
        """The number of images, including those that turn out to be unreadable."""
        return len(self.indices)

    @cached_property
    def answer(self) -> Answer:
        """The answer to the first image that can be read; it shows the names and sizes of the network's results."""
        for index in self.indices:
            for answer in self._answer_batches([[index]], workers=0):
                if answer.logits is not None:
                    return answer
        raise self.refuse_all_bad()

    @cached_property
    def n_kernels(self) -> dict[str, int]:
        """Layer -> number of kernels, in execution order. Runs the network on one image."""
        return {layer: norms.shape[1] for layer, norms in self.answer.norms.items()}

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Which layers feed which; see `LayerGraph`. Runs the network on one image."""
        return self.runner.edges if self.answer.norms else ()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's outputs. Runs the network on one image."""
        assert self.answer.logits is not None
        return name_outputs(self.model, self.data, self.answer.logits.shape[1], self.runner.head)

    @property
    def complete_settings(self) -> CaptureSettings:
        """The settings, with the task that was recognised. Runs the network on one image, unless it has run."""
        if self.runner.head is None:
            assert self.answer.logits is not None
        head = self.runner.head
        return replace(self.settings, task=MULTILABEL) if head and head.task == MULTILABEL else self.settings

    def keep_logits(self, n_classes: int) -> bool:
        """Whether the outputs are kept; see `choose_logits`. Those of several labels are.

        Raises:
            SettingError: they aren't wanted, although their signs are the labels.
        """
        if self.complete_settings.has_labels:
            if self.keeps_logits is False:
                raise SettingError("the labels of a network are the signs of its logits; leave --no-logits out")
            return True
        return choose_logits(self.keeps_logits, n_classes)

    def take(self, n_images: int) -> "NetworkRun":
        """Take `n_images` of the images, evenly spread."""
        places = spread_images(self.n_images, n_images)
        return replace(self, indices=[self.indices[place] for place in places])

    def capture_ranges(
        self, ranges: Sequence[tuple[int, int]], report: Callable[[int], None] = lambda n_done: None
    ) -> Iterator[Activations]:
        """Yield one `Activations` for each range `(start, stop)` of the images; batches are cut from each start.

        Args:
            report: called with the number of images done.

        Raises: see `capture_activations`.
        """
        size = self.settings.batch_size
        plan = [batch for start, stop in ranges for batch in cut_batches(self.indices[start:stop], size)]
        answers = self._answer_batches(plan, workers=self.runner.options.workers)
        n_done = 0
        with closing(answers):
            for start, stop in ranges:
                recorder = _Recorder(self, stop - start)
                n_seen = 0
                while n_seen < stop - start:
                    answer = next(answers)
                    recorder.add(answer)
                    n_seen += answer.batch.n_seen
                    report(n_done + n_seen)
                n_done += n_seen
                yield recorder.finish()

    def refuse_all_bad(self) -> DataError:
        """Make the error for data of which no image can be read."""
        n = self.n_images
        return DataError(f"none of the {n} images of {self.data.name} can be read; repair them, or give other images")

    def _answer_batches(self, plan: Sequence[list[int]], workers: int) -> Generator[Answer, None, None]:
        # Workers are forked after the network may have started threads; they only decode images.
        pins = self.settings.device == "cuda"
        batches = iterate_batches(self.data, plan, self.model.transform, workers=workers, pin_memory=pins)
        with closing(batches):
            answers = self.runner.run(batches, self.data.ids)
            while True:
                # Entered for each batch, so that the contexts don't apply to the caller. TF32 would keep only 10 bits
                # of the mantissa of float32.
                exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
                with torch.inference_mode(), exact:
                    answer = next(answers, None)
                if answer is None:
                    return
                for bad in answer.batch.bad:
                    if not self.runner.options.skip_bad_images:
                        raise DataError(f"{bad.message}; repair it, or give --skip-bad-images")
                    _log.warning("skipped: %s", bad.message)
                yield answer


class _Recorder:
    """Collects the network's answers to a range of `n_images` images."""

    def __init__(self, run: NetworkRun, n_images: int) -> None:
        self._run = run
        self._n_images = n_images
        self._remedy = "check the model's weights and the image"
        if run.settings.dtype != "float32":
            self._remedy += ", or capture with --dtype float32"
        self._norms: dict[str, Tensor] = {}  # layer -> [n_images, n_kernels], filled row by row
        self._predictions = torch.empty(n_images, dtype=torch.int64)
        self._logits: Tensor | None = None  # [n_images, n_classes], filled row by row
        self._kept: list[int] = []
        self._labels: list[DataLabel] = []  # of the data
        self._classes: tuple[str, ...] = ()

    def add(self, answer: Answer) -> None:
        """Add the answer to one batch."""
        logits, indices = answer.logits, answer.batch.indices
        if logits is None:
            return
        data = self._run.data
        ids = [data.ids[i] for i in indices]
        rows = slice(len(self._kept), len(self._kept) + len(indices))
        for layer, found in answer.norms.items():
            check_finite(layer, found, ids, self._remedy)
            if layer not in self._norms:
                self._norms[layer] = torch.empty(self._n_images, found.shape[1])
            self._norms[layer][rows] = found
        check_logits(logits, ids, self._remedy)
        self._classes = self._classes or name_outputs(self._run.model, data, logits.shape[1], self._run.runner.head)
        self._predictions[rows] = logits.argmax(dim=1)
        if self._run.keep_logits(logits.shape[1]):
            half = round_logits(logits)
            if self._run.complete_settings.has_labels:  # only the signs count
                half = half.clamp(-_MOST_HALF, _MOST_HALF)
            check_logits(half, ids, "it is past 65,504, the largest float16; capture with --no-logits")
            if self._logits is None:
                self._logits = torch.empty(self._n_images, logits.shape[1], dtype=torch.float16)
            self._logits[rows] = half
        self._kept += indices
        self._labels += answer.batch.labels

    def finish(self) -> Activations:
        n_kept = len(self._kept)
        data, classes, logits = self._run.data, self._classes, self._logits
        if not n_kept:  # no image of the range can be read
            classes = self._run.classes
            logits = torch.empty(0, len(classes), dtype=torch.float16) if self._run.keep_logits(len(classes)) else None
        return Activations(
            norms={layer: norms[:n_kept] for layer, norms in self._norms.items()},
            ids=[data.ids[i] for i in self._kept],
            labels=match_labels(self._labels, data.folders, classes, self._run.runner.head),
            predictions=self._predictions[:n_kept],
            classes=classes,
            settings=replace(self._run.complete_settings, n_bad_images=self._n_images - n_kept),
            logits=None if logits is None else logits[:n_kept],
            edges=self._run.runner.edges if n_kept else (),
        )


def spread_images(n_images: int, limit: int | None) -> Sequence[int]:
    """Choose up to `limit` images, evenly spread; all by default."""
    n_taken = n_images if limit is None else min(limit, n_images)
    if n_taken == n_images:
        return range(n_images)
    return [i * n_images // n_taken for i in range(n_taken)]


def choose_logits(logits: bool | None, n_classes: int) -> bool:
    """Whether to keep the outputs of a network of so many classes; `None`: if they are few."""
    return n_classes <= MOST_CLASSES if logits is None else logits
