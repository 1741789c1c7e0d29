"""A run gives the same result for every kind of source, size of parts and number of processes."""

import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from eric_fast.analyse import analyse_program
from eric_fast.bits import unpack_words
from eric_fast.chains import measure_chains
from eric_fast.errors import CaptureError, SettingError
from eric_fast.extract import TreeOptions
from eric_fast.processes import Processes
from eric_fast.processes.memory import count_fitting, find_free_memory, find_peak_memory, find_used_memory, parse_memory
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.quantise.pack import open_packing_job
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program
from eric_fast.store import Manifest, Samples, Thresholds, cut_parts, open_capture, save_activations, write_capture
from eric_fast.store.activations import UNKNOWN
from eric_fast.store.source import Rows
from eric_fast.text import print_program
from tests.activations import make_activations
from tests.ranks import run_ranks

N_IMAGES, SHARD_SIZE = 4500, 1024
OPTIONS = TreeOptions(min_leaf=0.02)


@dataclass(frozen=True)
class PlayedProcesses(Processes):
    add_up: object = None

    @property
    def combine(self):
        return self.add_up


def run_processes(count, work):
    """`work(processes)` in so many, or in this one alone."""
    if count == 1:
        return [work(Processes())]
    return run_ranks(count, lambda rank, combine: work(PlayedProcesses(rank, count, combine)))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Activations, a third of them without a label, and the same on disk as norms and as bits."""
    folder = tmp_path_factory.mktemp("captures")
    activations = make_activations(N_IMAGES, n_kernels=(9, 20, 17))
    labels = torch.where(torch.arange(N_IMAGES) % 3 == 0, UNKNOWN, activations.labels)
    activations = replace(activations, labels=labels)
    save_activations(activations, folder / "norms", shard_size=SHARD_SIZE)
    quantiser = fit_quantiser(activations, activations.predictions, threshold="split")
    manifest = Manifest(
        layers={layer: norms.shape[1] for layer, norms in activations.norms.items()},
        classes=activations.classes,
        settings=activations.settings,
        store="bits",
        shard_size=SHARD_SIZE,
        n_listed=N_IMAGES,
        thresholds=Thresholds(quantiser, "split of all images"),
    )
    with write_capture(folder / "bits", manifest) as writer:
        for number in range(manifest.n_shards):
            rows = slice(*manifest.images_of_shard(number))
            part = activations.take(torch.arange(N_IMAGES)[rows])
            words = {layer: quantise_activations(part, quantiser, [layer]).words for layer in activations.layers}
            writer.write_shard(number, Samples(part.ids, part.labels, part.predictions, words=words))
        writer.finish()
    return SimpleNamespace(activations=activations, norms=folder / "norms", bits=folder / "bits")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target": "label", "threshold": "0.6*mean+0.7*std", "all_kernels": True},
        {"threshold": "quantile:0.3", "grown_on": "predicted"},
        {"target": "label", "threshold": "split", "simplify": False},
        {"target": "label", "max_loss": 0.05, "hold_back": 0.3},
    ],
)
def test_programs_are_those_of_memory_to_the_letter(stored, settings):
    """Of 5 shards, 2 and 3 processes have uneven shares, and 7 some without a shard."""
    expected = print_program(approximate_model(stored.activations, layers="all", options=OPTIONS, **settings))
    capture = open_capture(stored.norms)
    for count, source in product((1, 2, 3, 7), (capture, stored.activations)):

        def extract(processes, source=source):
            return approximate_model(source, layers="all", options=OPTIONS, processes=processes, **settings)

        for program in run_processes(count, extract):
            assert print_program(program) == expected, (count, source)


@pytest.mark.parametrize("count", [3, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 7))])
@pytest.mark.parametrize("settings", [{}, {"grown_on": "predicted"}, {"target": "label"}, {"max_loss": 0.02}])
def test_programs_come_of_stored_bits_too(stored, count, settings):
    capture = open_capture(stored.bits)

    def extract(processes):
        return approximate_model(capture, layers="all", options=OPTIONS, processes=processes, **settings)

    programs = [print_program(program) for program in run_processes(count, extract)]
    assert len(set(programs)) == 1
    if not {"target", "max_loss"} & set(settings):  # those fit thresholds on other images
        expected = approximate_model(stored.activations, layers="all", options=OPTIONS, **settings)
        recorded = dict(expected.settings) | {"threshold": "of the stored bits"}
        assert programs[0] == print_program(expected.with_settings(recorded.items()))
    if "max_loss" not in settings:
        assert f"trained_on({2 * N_IMAGES // 3 if 'target' in settings else N_IMAGES})" in programs[0]


def test_chains_and_analyses_are_those_of_memory(stored):
    """From norms on disk in every figure; from bits alone in those that need no norms."""
    others = make_activations(500, n_kernels=(9, 20, 17), seed=1)
    norms, bits = open_capture(stored.norms), open_capture(stored.bits)
    expected = measure_chains(stored.activations, others, min_leaves=[60]).to_dict()
    assert measure_chains(norms, others, min_leaves=[60]).to_dict() == expected
    assert measure_chains(bits, others, min_leaves=[60]).to_dict() == expected
    with pytest.raises(CaptureError, match=r"contains bits but no norms, and none of its bits is 'f0:0 > "):
        measure_chains(others, bits, min_leaves=[60])
    program = approximate_model(stored.activations, options=OPTIONS)
    whole, packed = (analyse_program(program, source, n_permutations=9) for source in (stored.activations, bits))
    assert analyse_program(program, norms, n_permutations=9).to_dict() == whole.to_dict()
    assert packed.effects.now == whole.effects.now
    assert not packed.strongest


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("kind", ["norms", "bits"])
def test_scores_are_those_of_memory_to_the_last_digit(stored, kind, count):
    program = approximate_model(stored.activations, layers="all", options=OPTIONS)
    expected = evaluate_chains(program, stored.activations)
    capture = open_capture(getattr(stored, kind))

    def score(processes):
        return [evaluate_program(program, capture, start=layer, processes=processes) for layer in program.layers]

    for scores in run_processes(count, score):
        assert scores == expected


def test_bits_made_by_other_thresholds_are_refused(stored):
    program = approximate_model(stored.activations, layers="all", threshold="0.5", options=OPTIONS)
    with pytest.raises(CaptureError, match=r"none of its bits is 'f0:0 > 0.5' as in the program; capture norms"):
        evaluate_program(program, open_capture(stored.bits))
    with pytest.raises(SettingError, match="contains bits but no norms, so its thresholds are fixed"):
        approximate_model(open_capture(stored.bits), threshold="0.5")


def test_a_target_that_never_changes_is_told_by_all_processes(tmp_path):
    activations = make_activations(2000)
    save_activations(
        replace(activations, predictions=torch.ones(2000, dtype=torch.int64)), tmp_path / "c", shard_size=SHARD_SIZE
    )
    capture = open_capture(tmp_path / "c")
    with pytest.raises(CaptureError, match="the target is 'b' on all 2000 training images"):
        run_processes(2, lambda processes: approximate_model(capture, processes=processes))
    with pytest.raises(CaptureError, match="has no labels"):
        save_activations(
            replace(activations, labels=torch.full((2000,), UNKNOWN)), tmp_path / "d", shard_size=SHARD_SIZE
        )
        approximate_model(open_capture(tmp_path / "d"), target="label")


@pytest.mark.parametrize("kind", ["norms", "bits"])
def test_parts_of_a_shard_are_its_rows(stored, tmp_path, kind):
    """Cut at multiples of 1,024 images, and of any images: norms, bits and all else."""
    save_activations(stored.activations, tmp_path / "norms", shard_size=5 * 1024)
    capture = open_capture(tmp_path / "norms")
    if kind == "bits":
        with open_packing_job(capture, tmp_path / "bits", Thresholds(fit_quantiser(capture), "all")) as job:
            capture = job.run()
    (whole,) = capture.parts
    some = Rows(whole, torch.arange(4, N_IMAGES, 3))
    for part, n_parts in ((whole, 5), (some, 2)):
        pieces = cut_parts([part], 1024)
        assert [piece.n_images for piece in pieces[:-1]] == [1024] * (n_parts - 1)
        assert sum(piece.n_images for piece in pieces) == part.n_images
        read = "read_norms" if kind == "norms" else "read_words"
        found = [getattr(piece, read)("f1") for piece in pieces]
        expected = getattr(whole, read)("f1")
        if kind == "bits":
            found = [unpack_words(words, piece.n_images) for words, piece in zip(found, pieces, strict=True)]
            expected = unpack_words(expected, N_IMAGES)
        rows = torch.arange(N_IMAGES) if part is whole else some.rows
        assert torch.equal(torch.cat(found), expected[rows])
        assert torch.equal(torch.cat([piece.read_labels() for piece in pieces]), stored.activations.labels[rows])
        assert [name for piece in pieces for name in piece.read_ids()] == [stored.activations.ids[i] for i in rows]


# --- memory


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("4GB", 4 * 10**9), ("512MiB", 2**29), ("1.5 g", 1_500_000_000), ("800000000", 8 * 10**8)]
)
def test_amounts_of_memory_are_read(text, n_bytes):
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "0", "much", "-4GB", "4 PB", "GB", "1e9", "nan"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(SettingError, match="is not an amount such as 4GB"):
        parse_memory(text)


def test_what_fits_into_memory_is_counted():
    used = find_used_memory()
    assert 0 < used <= find_peak_memory() < 2**40
    assert 0 < find_free_memory() < 2**50
    assert count_fitting("this", 2**50, 0, 8, 1, 100) == 100
    assert count_fitting("this", used + 2**40, 0, 2**34, 1, 100) in (63, 64)
    assert count_fitting("this", used + 2**40, 2**39, 2**34, 1, 100) in (31, 32)
    with pytest.raises(SettingError, match=r"this takes .* of memory at least, but only 1.1 TB is allowed"):
        count_fitting("this", 2**40, 0, 2**40, 1, 100)


def test_less_than_small_parts_need_is_refused_before_the_work(stored):
    with pytest.raises(SettingError, match=r"extracting from this capture takes .* but only 100.0 MB is allowed"):
        approximate_model(open_capture(stored.norms), memory=10**8)
    program = approximate_model(stored.activations, options=OPTIONS)
    with pytest.raises(SettingError, match=r"evaluating on this capture takes .* but only 100.0 MB is allowed"):
        evaluate_program(program, open_capture(stored.norms), memory=10**8)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"threshold": "split"}, {"threshold": "quantile:0.3", "max_loss": 0.05}])
@pytest.mark.parametrize("kind", ["norms", "bits", "activations"])
@pytest.mark.parametrize("count", [1, 3])
def test_little_memory_makes_small_parts_and_the_same_results(stored, kind, count, settings, monkeypatch):
    """As little as there may be: 1,024 images, one kernel's norms and one tree at a time."""
    source = stored.activations if kind == "activations" else open_capture(getattr(stored, kind))
    settings = {} if kind == "bits" else settings

    def run(processes):
        program = approximate_model(source, layers="all", options=OPTIONS, processes=processes, **settings)
        scores = evaluate_chains(program, source, processes=processes)
        return print_program(program), scores

    expected = run(Processes())
    least, asked = [], []

    def count_least(what, limit, fixed, per_item, least_items, most):
        asked.append(most)
        return least_items

    for name in ("limits", "approximate"):
        monkeypatch.setattr(f"eric_fast.runs.{name}.count_fitting", count_least)
    for name in ("answer", "approximate"):
        monkeypatch.setattr(f"eric_fast.runs.{name}.cut_parts", lambda parts, n: least.append(n) or cut_parts(parts, n))
    assert run_processes(count, run) == [expected] * count
    assert set(least) == {1024}
    assert {16, 64} <= set(asked)


LARGE = """
import os, sys
from eric_fast.processes.memory import find_peak_memory
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import open_capture

def run(path, memory):
    capture = open_capture(path)
    program = approximate_model(capture, layers="all", threshold="mean", min_leaf=0.1, memory=memory)
    return evaluate_program(program, capture, memory=memory)

for small, large, allowed in zip(*[iter(sys.argv[1:])] * 3):
    if child := os.fork():  # a process has one peak
        assert os.waitpid(child, 0)[1] == 0
        continue
    run(small, None)  # whatever is compiled and loaded once
    limit = find_peak_memory() + int(allowed)
    score = run(large, limit)
    print(score.n_images, find_peak_memory() - limit, flush=True)
    os._exit(0)
"""


def write_large(path, n_images, shard_size, n_kernels=500):
    manifest = Manifest(
        layers={"low": n_kernels, "high": n_kernels},
        classes=("a", "b"),
        settings=make_activations(1).settings,
        shard_size=shard_size,
        n_listed=n_images,
    )
    with write_capture(path, manifest) as writer:
        for number in range(manifest.n_shards):
            start, stop = manifest.images_of_shard(number)
            generator = torch.Generator().manual_seed(number)
            norms = {layer: torch.rand(stop - start, n_kernels, generator=generator) for layer in manifest.layers}
            says = (norms["high"][:, 0] > 0.5).long()
            ids = [str(i) for i in range(start, stop)]
            writer.write_shard(number, Samples(ids, says, says, norms=norms))
        writer.finish()
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))


@pytest.mark.slow
def test_the_peak_stays_under_a_bound_that_the_norms_would_break(tmp_path):
    """A shard, or the parts of one that is too large itself."""
    n_images, arguments = 6 * 4096, []
    for shard_size, allowed in ((4096, 48_000_000), (n_images, 24_000_000)):
        small, large = (tmp_path / f"{name}-{shard_size}" for name in ("small", "large"))
        write_large(small, 1024, shard_size)
        assert write_large(large, n_images, shard_size) > 2 * allowed
        arguments += [str(small), str(large), str(allowed)]
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", LARGE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    found = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    assert [n for n, _ in found] == [n_images] * 2
    assert all(above < 0 for _, above in found), found
