"""Captures written while they are made: the same as in memory, and taken up again where they stopped."""

import json
import random
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from eric_fast.capture import ImageData, Sample, capture_activations, prepare_run, wrap_model
from eric_fast.capture.job import open_capture_job
from eric_fast.capture.ranges import choose_logits
from eric_fast.errors import CaptureError, DataError, OutputError, SettingError
from eric_fast.processes.memory import format_bytes
from eric_fast.program.atoms import Quantiser
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.quantise.pack import open_packing_job
from eric_fast.store import MANIFEST, Manifest, Thresholds, load_activations, load_bits, open_capture, verify_capture
from eric_fast.store.job import describe_job
from tests.activations import make_activations
from tests.fuzz import check_format
from tests.fuzz_captures import make_capture, read_capture

N = 2500


class Tensors(ImageData):
    """Images of 6x6, every 5th of three classes; those in `bad` can't be read."""

    preprocessing = "none"

    def __init__(self, n=N, bad=()):
        self.name, self.ids, self.folders = "tensors", tuple(f"i{k}" for k in range(n)), ("a", "b")
        self.bad, self.n_loaded = set(bad), 0
        self._images = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(0))

    def load_sample(self, index):
        if index in self.bad:
            raise DataError(f"{self.ids[index]} can't be read")
        self.n_loaded += 1
        return Sample(self._images[index], index % 2)


def make_model(seed=1, factor=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2)]
        net = nn.Sequential(*parts).eval()
    net[0].weight.data *= factor
    return wrap_model(net, classes=["a", "b"], name="net")


MODEL = make_model()
SETTINGS = {"device": "cpu", "batch_size": 256}


def record(path, data=None, model=MODEL, run_settings=(), **settings):
    run = prepare_run(model, data or Tensors(), **{**SETTINGS, **dict(run_settings)})
    with open_capture_job(run, path, **{"shard_size": 1024, **settings}) as job:
        return job.run()


def read_folder(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture(scope="module")
def activations():
    return capture_activations(MODEL, Tensors(), **SETTINGS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return record(tmp_path_factory.mktemp("whole") / "c").path


def check_same(a, b):
    assert a.layers == b.layers
    assert all(torch.equal(a.norms[layer], b.norms[layer]) for layer in a.layers)
    assert torch.equal(a.labels, b.labels)
    assert torch.equal(a.predictions, b.predictions)
    assert (a.ids, a.classes, a.settings) == (b.ids, b.classes, b.settings)


def test_norms_are_those_of_a_capture_in_memory(whole, activations):
    # Batches are cut anew at each shard, and 1,024 is a multiple of their size: so every digit agrees.
    check_same(load_activations(whole), activations)
    assert sorted(read_folder(whole)) == [MANIFEST, *(f"shard-0000{i}.safetensors" for i in range(3))]
    assert open_capture(whole).manifest.listing


def test_batches_are_cut_at_the_start_of_each_shard(tmp_path):
    settings = {"batch_size": 1000}
    capture = record(tmp_path / "c", run_settings=settings)
    run = prepare_run(MODEL, Tensors(), **{**SETTINGS, **settings})
    (second,) = run.capture_ranges([(1024, 2048)])
    for layer, norms in second.norms.items():
        assert torch.equal(capture.shards[1].read_norms(layer), norms)


def test_half_norms(tmp_path, activations):
    capture = record(tmp_path / "c", norm_dtype="float16")
    assert capture.shards[0].read_norms("1").dtype == torch.float16
    found = load_activations(tmp_path / "c")
    for layer, norms in activations.norms.items():
        assert torch.equal(found.norms[layer], norms.half().float())


def test_a_norm_past_the_largest_half_is_refused(tmp_path):
    with pytest.raises(CaptureError, match=r"layer '1', kernel \d: the norm .* of image 'i\d+' is past 65,504"):
        record(tmp_path / "c", model=make_model(factor=1e6), norm_dtype="float16", logits=False)
    assert not (tmp_path / "c").exists()


def test_logits_are_kept_and_a_resumed_capture_keeps_its_choice(tmp_path, whole, activations):
    assert activations.logits.shape == (2500, len(activations.classes))
    found = load_activations(whole)
    assert torch.equal(found.logits, activations.logits)
    of_answer = found.logits.gather(1, found.predictions[:, None])[:, 0]
    assert torch.equal(of_answer, found.logits.amax(1))  # rounding may make others as high
    assert torch.equal(open_capture(whole).shards[1].read_logits(), activations.logits[1024:2048])
    without = record(tmp_path / "c", logits=False)
    assert not without.has_logits
    assert load_activations(tmp_path / "c").logits is None
    with pytest.raises(CaptureError, match="has no logits; capture again, with --logits"):
        without.shards[0].read_logits()
    (without.path / "shard-00001.safetensors").unlink()
    assert not record(tmp_path / "c").has_logits
    with pytest.raises(CaptureError, match="with logits left out, now kept"):
        record(tmp_path / "c", logits=True)
    thresholds = Thresholds(fit_quantiser(activations), "mean of these")
    with open_packing_job(open_capture(whole), tmp_path / "p", thresholds) as job:
        assert torch.equal(torch.cat([shard.read_logits() for shard in job.run().shards]), activations.logits)


def test_logits_past_the_largest_half_are_refused(tmp_path):
    with pytest.raises(CaptureError, match=r"output . is -?inf on image 'i.*largest float16; capture with --no-logits"):
        record(tmp_path / "c", model=make_model(factor=1e6))


def test_networks_of_many_classes_keep_no_logits_unless_asked():
    assert [choose_logits(None, n) for n in (100, 101)] == [True, False]
    assert [choose_logits(asked, 1000) for asked in (True, False)] == [True, False]


@pytest.mark.parametrize("store", ["bits", "both"])
def test_bits_for_given_thresholds(tmp_path, activations, store):
    thresholds = Thresholds(fit_quantiser(activations), "mean of these")
    capture = record(tmp_path / "c", store=store, thresholds=thresholds)
    bits, expected = load_bits(tmp_path / "c"), quantise_activations(activations, thresholds.quantiser)
    assert torch.equal(bits.words, expected.words)
    assert bits.atoms == expected.atoms
    assert capture.quantiser == thresholds.quantiser
    assert torch.equal(capture.labels, activations.labels)
    if store == "both":
        check_same(load_activations(tmp_path / "c"), activations)
    else:
        with pytest.raises(CaptureError, match="contains bits but no norms"):
            load_activations(tmp_path / "c")
    upper = load_bits(tmp_path / "c", ["3"])
    assert torch.equal(upper.words, expected.select_atoms(upper.atoms).words)


def test_thresholds_of_a_sample_are_said_and_fitted_once(tmp_path, activations, monkeypatch):
    capture = record(tmp_path / "c", store="bits", threshold="0.6*mean+0.7*std", n_statistics=250)
    sample = prepare_run(MODEL, Tensors(), **SETTINGS).take(250)
    (found,) = sample.capture_ranges([(0, 250)])
    assert found.ids == activations.ids[::10]
    assert capture.quantiser == fit_quantiser(found, threshold="0.6*mean+0.7*std")
    thresholds = json.loads((tmp_path / "c" / MANIFEST).read_text())["thresholds"]
    assert thresholds["origin"] == "0.6*mean+0.7*std of 250 of 2,500 images, evenly spread"
    (capture.path / "shard-00001.safetensors").unlink()
    before = capture.quantiser
    monkeypatch.setattr("eric_fast.capture.job.fit_quantiser", lambda *_, **__: pytest.fail("fitted again"))
    assert record(tmp_path / "c", store="bits", threshold="0.6*mean+0.7*std", n_statistics=250).quantiser == before


@pytest.mark.parametrize("threshold", ["mean", "split"])
def test_packing_norms_needs_no_network(tmp_path, whole, activations, threshold):
    norms = open_capture(whole)
    quantiser = fit_quantiser(norms, norms.predictions, threshold=threshold)
    assert quantiser == fit_quantiser(activations, activations.predictions, threshold=threshold)
    with open_packing_job(norms, tmp_path / "b", Thresholds(quantiser, "all")) as job:
        packed = job.run()
    assert torch.equal(packed.read_bits().words, quantise_activations(activations, quantiser).words)
    assert (packed.ids, packed.settings, packed.classes) == (norms.ids, norms.settings, norms.classes)
    with pytest.raises(CaptureError, match="contains bits already"), open_packing_job(packed, tmp_path / "x", norms):
        pytest.fail("begun")


def test_an_image_that_cannot_be_read_half_way(tmp_path, whole, caplog):
    with pytest.raises(DataError, match="i1500 can't be read"):
        record(tmp_path / "c", Tensors(bad=[1500]))
    assert f"kept 1 of 3 shards in {tmp_path / 'c'}; run the same command again" in caplog.text
    with pytest.raises(CaptureError, match="is not finished; run the command that started it again"):
        open_capture(tmp_path / "c")
    mended = Tensors()
    record(tmp_path / "c", mended)
    assert mended.n_loaded == N - 1024 + 1  # one for the names of layers
    assert read_folder(tmp_path / "c") == read_folder(whole)
    nothing = Tensors()
    record(tmp_path / "c", nothing)
    assert nothing.n_loaded == 1


def test_bad_images_leave_gaps(tmp_path):
    bad = [0, 5, 1023, 1024, *range(2048, 2500)]
    settings = {"skip_bad_images": True}
    capture = record(tmp_path / "c", Tensors(bad=bad), run_settings=settings)
    expected = capture_activations(MODEL, Tensors(bad=bad), **SETTINGS, **settings)
    check_same(load_activations(tmp_path / "c"), expected)
    assert [shard.n_images for shard in capture.shards] == [1021, 1023, 0]
    assert capture.settings.n_bad_images == len(bad)
    thresholds = Thresholds(fit_quantiser(capture), "all")
    with open_packing_job(capture, tmp_path / "b", thresholds) as job:
        packed = job.run()
    assert torch.equal(packed.read_bits().words, quantise_activations(expected, thresholds.quantiser).words)


def test_a_shard_without_images_has_labels_of_several(tmp_path):
    model = wrap_model(MODEL.module, classes=["a", "b"], name="net", task="multilabel")
    data = Tensors(1030, range(1024, 1030))
    capture = record(tmp_path / "c", data, model, run_settings={"skip_bad_images": True})
    assert [shard.n_images for shard in capture.shards] == [1024, 0]
    assert load_activations(tmp_path / "c").labels.tolist() == [[1, 0], [0, 1]] * 512


def test_no_image_can_be_read(tmp_path):
    with pytest.raises(DataError, match="none of the 30 images"):
        record(tmp_path / "c", Tensors(30, range(30)), run_settings={"skip_bad_images": True})
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:-9] + b"\0" + c[-8:], None])
def test_a_damaged_shard_is_named_and_made_anew(tmp_path, whole, caplog, damage):
    shutil.copytree(whole, tmp_path / "c")
    shard = tmp_path / "c" / "shard-00001.safetensors"
    shard.write_bytes(damage(shard.read_bytes())) if damage else shard.unlink()
    assert list(verify_capture(tmp_path / "c").wrong) == [shard.name]
    data = Tensors()
    record(tmp_path / "c", data)
    assert "shard 1 of" in caplog.text
    assert data.n_loaded == 1024 + 1
    assert read_folder(tmp_path / "c") == read_folder(whole)
    assert not verify_capture(tmp_path / "c").wrong


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"model": make_model(2)}, "fingerprint"),
        ({"data": Tensors(2499)}, "n_listed 2500, now 2499; the listing of the data"),
        ({"run_settings": {"batch_size": 64}}, "batch_size 256, now 64"),
        ({"run_settings": {"norm": "max"}}, "norm l1, now max"),
        ({"run_settings": {"layers": ["3"]}}, "layers"),
        ({"run_settings": {"memory_format": "channels-last"}}, "memory_format contiguous, now channels-last"),
        ({"shard_size": 2048}, "shard_size 1024, now 2048"),
        ({"norm_dtype": "float16"}, "norm_dtype float32, now float16"),
        ({"store": "bits", "threshold": "mean"}, "store norms, now bits"),
    ],
)
def test_another_capture_is_not_gone_on_with(whole, changes, part):
    before = read_folder(whole)
    with pytest.raises(CaptureError, match=f"contains another capture, with .*{part}.*--force to start again") as error:
        record(whole, **changes)
    assert "\n" not in str(error.value)
    assert read_folder(whole) == before


def test_other_thresholds_are_another_capture(tmp_path, activations):
    quantiser = fit_quantiser(activations)
    record(tmp_path / "c", store="bits", thresholds=Thresholds(quantiser, "mean"))
    record(tmp_path / "c", store="bits", thresholds=Thresholds(quantiser, "by another name"))
    other = Thresholds(fit_quantiser(activations, threshold="0.5"), "half")
    with pytest.raises(CaptureError, match="thresholds mean, now half"):
        record(tmp_path / "c", store="bits", thresholds=other)


def test_force_begins_anew_and_other_names_are_the_same(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "c")
    renamed = Tensors()
    renamed.name = "elsewhere"
    record(tmp_path / "c", renamed, replace(MODEL, name="copy"))
    assert read_folder(tmp_path / "c") == read_folder(whole)
    record(tmp_path / "c", Tensors(30), force=True)
    assert sorted(read_folder(tmp_path / "c")) == [MANIFEST, "shard-00000.safetensors"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("x")
    with pytest.raises(OutputError, match="can't be replaced"):
        record(tmp_path / "thesis", force=True)


def test_one_process_writes_at_a_time(tmp_path):
    run = prepare_run(MODEL, Tensors(30), **SETTINGS)
    with open_capture_job(run, tmp_path / "c") as job:
        with pytest.raises(OutputError, match="another process is writing"):
            record(tmp_path / "c", Tensors(30), shard_size=16384)
        job.run()
    assert sorted(read_folder(tmp_path / "c")) == [MANIFEST, "shard-00000.safetensors"]


def test_a_disk_without_room_is_refused_first(tmp_path, monkeypatch):
    run = prepare_run(MODEL, Tensors(), **SETTINGS)
    with open_capture_job(run, tmp_path / "a", shard_size=1024) as job:
        assert (
            describe_job(job) == f"norms and logits of 2,500 images in 3 shards; {format_bytes(job.n_bytes)} to write"
        )
        n_bytes = job.n_bytes
        written = sum(shard.entry.n_bytes for shard in job.run().shards)
    assert n_bytes <= written <= n_bytes + 3 * 2048  # headers
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=n_bytes - 1))
    with pytest.raises(OutputError, match=r"needs .* on disk, but only .* are free; free some space"):
        record(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    record(tmp_path / "a")  # all of it is there


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"store": "norm"}, "store"),
        ({"store": "bits"}, "--store bits needs thresholds"),
        ({"threshold": "mean"}, "--store norms takes no thresholds"),
        ({"store": "bits", "threshold": "men"}, "threshold 'men'"),
        ({"store": "bits", "threshold": "mean", "n_statistics": 0}, "--statistics must be at least 1"),
        ({"shard_size": 1000}, "multiple of 1024"),
        ({"norm_dtype": "bfloat16"}, "norm dtype 'bfloat16' is not one of float32, float16"),
    ],
)
def test_settings_that_mean_nothing(tmp_path, settings, part):
    with pytest.raises(SettingError, match=part):
        record(tmp_path / "c", **settings)
    assert not (tmp_path / "c").exists()


def test_names_in_a_manifest_are_not_followed(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "c")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    manifest = json.loads((tmp_path / "c" / MANIFEST).read_text())
    manifest["settings"] |= {"model": f"{tmp_path / 'evil.py'}:build", "data": str(tmp_path / "absent")}
    (tmp_path / "c" / MANIFEST).write_text(json.dumps(manifest))
    assert load_activations(tmp_path / "c").n_images == N
    assert not verify_capture(tmp_path / "c").wrong
    assert not (tmp_path / "ran").exists()


def test_hostile_captures_are_read_or_refused():
    assert len({len(read_capture(make_capture(random.Random(seed)))) for seed in range(12)}) == 3  # undamaged ones
    assert check_format("capture", 150).n_refused > 100
    n_read, _, n_refused = check_format("manifest", 250)
    assert n_read > 10
    assert n_refused > 100


def test_damage_in_what_a_manifest_leaves_out_is_not_served():
    capture = next(found for seed in range(12) if b'"both"' in (found := make_capture(random.Random(seed))))
    content = b"plain {" + capture.partition(b"{")[2]
    length = content.index(b'{"__metadata__"')
    header, _ = json.JSONDecoder().raw_decode(content[length:].decode(errors="replace"))
    data = length + int.from_bytes(content[length - 8 : length], "little")

    def damage(tensor: str, content: bytes) -> bytes:
        at = data + header[tensor]["data_offsets"][0]
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    bits_alone = content.replace(b'"store": "both"', b'"store": "bits"')
    assert read_capture(damage("norms.f0", bits_alone))
    with pytest.raises(CaptureError, match="norms"):
        read_capture(damage("norms.f0", content))
    with pytest.raises(CaptureError, match="labels"):
        read_capture(damage("labels", bits_alone))


def test_thresholds_for_no_kernel_are_refused():
    found = make_activations(3, n_kernels=(3, 2))
    thresholds = Thresholds(Quantiser((), found.settings.norm), "mean of all")
    layers = {layer: norms.shape[1] for layer, norms in found.norms.items()}
    with pytest.raises(CaptureError, match="the list of thresholds is empty"):
        Manifest(layers, found.classes, found.settings, "both", n_listed=3, thresholds=thresholds)
