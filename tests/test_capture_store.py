"""A capture on disk: what was written comes back, and nothing else is believed."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eric_fast.errors import CaptureError, OutputError
from eric_fast.store import MANIFEST, is_capture, load_activations, open_capture, save_activations
from eric_fast.store.activations import UNKNOWN, Activations, CaptureSettings


def make_activations(n=7):
    generator = torch.Generator().manual_seed(0)
    return Activations(
        norms={"z.relu": torch.rand(n, 3, generator=generator), 'a/é "x"': torch.rand(n, 2, generator=generator)},
        ids=[f"class/é {i}\udcff.png" for i in range(n)],
        labels=torch.tensor([UNKNOWN, *range(n - 1)][:n]) % 2 - (torch.arange(n) == 0).long() * 2
        if n
        else torch.zeros(0).long(),
        predictions=torch.arange(n) % 2,
        classes=("sea lion", "é"),
        settings=CaptureSettings("m", "f" * 64, "d", preprocessing="p", n_bad_images=2),
    )


def check_same(a, b):
    assert a.layers == b.layers
    assert all(torch.equal(a.norms[layer], b.norms[layer]) for layer in a.layers)
    assert torch.equal(a.labels, b.labels)
    assert torch.equal(a.predictions, b.predictions)
    assert (a.ids, a.classes, a.settings) == (b.ids, b.classes, b.settings)


@pytest.fixture
def saved(tmp_path):
    save_activations(make_activations(), tmp_path / "capture")
    return tmp_path / "capture"


def edit(root, **changes):
    manifest = json.loads((root / MANIFEST).read_text())
    manifest.update(changes)
    (root / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("n", [0, 1, 7, 33])
def test_round_trip(tmp_path, n):
    save_activations(make_activations(n), tmp_path / "deep" / "capture")
    check_same(load_activations(tmp_path / "deep" / "capture"), make_activations(n))
    assert is_capture(tmp_path / "deep" / "capture")
    assert not is_capture(tmp_path / "deep")
    assert not is_capture(tmp_path / "absent")


def test_views_and_shared_tensors_are_written(tmp_path):
    whole = make_activations()
    part = whole.take(torch.tensor([3, 1]))
    twice = Activations(
        {"a": part.norms["z.relu"], "b": part.norms["z.relu"][:, :2]},
        part.ids,
        part.labels,
        part.predictions,
        part.classes,
        part.settings,
    )
    save_activations(twice, tmp_path / "c")
    check_same(load_activations(tmp_path / "c"), twice)


def test_some_layers(saved):
    found = load_activations(saved, ['a/é "x"'])
    assert found.layers == ('a/é "x"',)
    with pytest.raises(CaptureError, match=r"no layer 'z\.rel'; did you mean 'z\.relu'"):
        load_activations(saved, ["z.rel"])


def test_existing_output(saved, tmp_path):
    with pytest.raises(OutputError, match="--force"):
        save_activations(make_activations(3), saved)
    check_same(load_activations(saved), make_activations())
    save_activations(make_activations(3), saved, force=True)
    check_same(load_activations(saved), make_activations(3))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("x")
    with pytest.raises(OutputError, match="can't be replaced"):
        save_activations(make_activations(), tmp_path / "thesis", force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["capture", "thesis"]


def test_over_long_and_empty_paths(saved):
    long = saved / ("a" * 300)
    for path, part in [(long, "is not a capture"), ("", "path of the capture is empty")]:
        assert not is_capture(path)
        with pytest.raises(CaptureError, match=part) as error:
            load_activations(path)
        assert "\n" not in str(error.value)


def test_the_current_folder_is_not_the_empty_path(saved, monkeypatch):
    monkeypatch.chdir(saved)
    assert is_capture(".")
    assert not is_capture("")


def test_ids_must_differ(saved, tmp_path):
    twice = make_activations().take(torch.tensor([1, 2, 1]))
    with pytest.raises(CaptureError, match=r"two images have the id 'class/é 1.*'; each must have its own"):
        save_activations(twice, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_fits_no_activations_is_named_with_its_capture(saved):
    edit(saved, classes=["a", "a"])
    with pytest.raises(CaptureError, match=f"^{saved}: two classes of the capture are called 'a'"):
        load_activations(saved)
    edit(saved, classes=["a"])
    with pytest.raises(CaptureError, match=f"^{saved}/shard.* must lie between"):
        load_activations(saved)


def test_many_shards(tmp_path):
    whole = make_activations(5000)
    save_activations(whole, tmp_path / "c", shard_size=2048)
    check_same(load_activations(tmp_path / "c"), whole)
    capture = open_capture(tmp_path / "c")
    assert [(shard.start, shard.stop) for shard in capture.shards] == [(0, 2048), (2048, 4096), (4096, 5000)]
    assert [path.name for path in sorted((tmp_path / "c").iterdir())] == [
        MANIFEST,
        *(f"shard-0000{i}.safetensors" for i in range(3)),
    ]
    for shard in capture.shards:
        rows = slice(shard.start, shard.stop)
        assert torch.equal(shard.read_norms("z.relu"), whole.norms["z.relu"][rows])
        assert torch.equal(shard.read_labels(), whole.labels[rows])
        assert torch.equal(shard.read_predictions(), whole.predictions[rows])
        assert shard.read_ids() == whole.ids[rows]
    entries = json.loads((tmp_path / "c" / MANIFEST).read_text())["shards"]
    for hostile in (entries[:2], entries[1:], entries[::-1], [entries[0], *entries]):
        edit(tmp_path / "c", shards=hostile)
        with pytest.raises(CaptureError, match="shard"):
            load_activations(tmp_path / "c")
    edit(tmp_path / "c", shards=[])
    with pytest.raises(CaptureError, match=r"n_images|not finished"):
        load_activations(tmp_path / "c")


def test_a_shard_is_mapped_not_copied(saved):
    shard = open_capture(saved).shards[0]
    labels = shard.read_labels()
    ranges = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ends = [[int(end, 16) for end in span.split("-")] for span, *_, name in ranges if name == str(shard.path)]
    assert any(low <= labels.data_ptr() < high for low, high in ends)
    labels[0] = 1  # what is mapped belongs to this process alone
    assert open_capture(saved).shards[0].read_labels()[0] == UNKNOWN


def test_every_flipped_bit_is_noticed_by_whoever_reads_all(saved):
    shard = saved / "shard-00000.safetensors"
    whole = shard.read_bytes()
    for place in range(0, len(whole) * 8, 97):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        shard.write_bytes(damaged)
        with pytest.raises(CaptureError, match="shard-00000") as error:
            load_activations(saved)
        assert "\n" not in str(error.value)


def test_only_what_is_read_is_hashed(saved):
    shard = saved / "shard-00000.safetensors"
    content = bytearray(shard.read_bytes())
    norms = make_activations().norms["z.relu"].numpy().tobytes()
    content[content.index(norms)] ^= 1
    shard.write_bytes(content)
    assert load_activations(saved, ['a/é "x"']).n_images == 7
    with pytest.raises(CaptureError, match=r"'norms\.z\.relu' is not what was written; run the capture again"):
        load_activations(saved, ["z.relu"])
    assert open_capture(saved, checks_hashes=False).read_activations().n_images == 7


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 5), slice(0, 0)])
def test_shards_of_another_size(saved, cut):
    shard = saved / "shard-00000.safetensors"
    whole = shard.read_bytes()
    for damaged in (whole[cut], whole + b"x"):
        shard.write_bytes(damaged)
        with pytest.raises(CaptureError, match=r"bytes instead of|header"):
            load_activations(saved)
    shard.unlink()
    with pytest.raises(CaptureError, match="is missing"):
        load_activations(saved)


def replace_tensors(saved, **changes):
    """A shard whose hashes are right, and whose tensors may not be."""
    shard = saved / "shard-00000.safetensors"
    tensors = load_file(shard)
    tensors = {name: tensor.clone() for name, tensor in (tensors | changes).items() if tensor is not None}
    hashes = {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}
    save_file(tensors, shard, metadata={"sha256": json.dumps(hashes)})
    content = shard.read_bytes()
    header = content[: 8 + int.from_bytes(content[:8], "little")]
    entry = json.loads((saved / MANIFEST).read_text())["shards"][0] | {
        "n_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "header_sha256": hashlib.sha256(header).hexdigest(),
    }
    edit(saved, shards=[entry])


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        ("labels", lambda labels: labels[:3], "'labels' is not what"),
        ("labels", lambda labels: None, "'labels' is not what"),
        ("labels", lambda labels: labels + 9, "labels must lie between -1 and 1"),
        ("predictions", lambda values: values.int(), "'predictions' is not what"),
        ("predictions", lambda values: values - 9, "predictions must lie between 0 and 1"),
        ("norms.z.relu", lambda norms: norms[:, :2], r"'norms\.z\.relu' is not what"),
        ("norms.z.relu", lambda norms: norms * float("nan"), "nan.*check the model's weights"),
        ("id_stops", lambda stops: stops.flip(0), "'ids' is not what"),
        ("id_stops", lambda stops: stops + 1, "'ids' is not what"),
        ("ids", lambda octets: octets.new_full(octets.shape, 255), "'ids' is not what"),
        ("ids", lambda octets: octets.new_full(octets.shape, 65), "two images have the id 'AAAAA"),
    ],
)
def test_tensors_that_are_not_what_the_manifest_says(saved, name, change, part):
    tensor = load_file(saved / "shard-00000.safetensors")[name]
    replace_tensors(saved, **{name: change(tensor)})
    with pytest.raises(CaptureError, match=rf"^{saved}.*{part}") as error:
        load_activations(saved)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["../outside.safetensors", "/etc/passwd", "", "..", ".", "a/b", 3, None, "\0"])
def test_shards_stay_in_the_folder(saved, file):
    (saved / "shard-00000.safetensors").rename(saved.parent / "outside.safetensors")
    entry = json.loads((saved / MANIFEST).read_text())["shards"][0]
    edit(saved, shards=[entry | {"file": file}])
    with pytest.raises(CaptureError, match=r"is the file shard-00000|'file'"):
        load_activations(saved)


def test_a_link_is_no_shard(saved):
    shard = saved / "shard-00000.safetensors"
    shard.rename(saved.parent / "outside.safetensors")
    shard.symlink_to(saved.parent / "outside.safetensors")
    with pytest.raises(CaptureError, match="missing"):
        load_activations(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", {}),
        ("layers", []),
        ("layers", [["z.relu", 3], ["z.relu", 3]]),
        ("layers", [["z.relu", -1]]),
        ("layers", [["z.relu", True]]),
        ("classes", ["a", 3]),
        ("store", "norm"),
        ("store", "bits"),
        ("norm_dtype", "float64"),
        ("shard_size", 1000),
        ("shard_size", 0),
        ("n_listed", -1),
        ("n_listed", 8),
        ("n_images", 8),
        ("thresholds", {"origin": "mean", "atoms": []}),
        ("settings", {}),
        ("settings", {"model": 3}),
        ("shards", [{"file": "x"}]),
        ("shards", [3]),
        ("shards", "x"),
    ],
)
def test_hostile_manifests(saved, key, value):
    edit(saved, **{key: value})
    with pytest.raises(CaptureError, match="capture again") as error:
        load_activations(saved)
    assert MANIFEST in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("batch_size", "64"), ("batch_size", True), ("norm", 1)])
def test_settings_of_the_wrong_kind(saved, name, value):
    settings = json.loads((saved / MANIFEST).read_text())["settings"]
    edit(saved, settings=settings | {name: value})
    with pytest.raises(CaptureError, match=rf"settings\.{name}"):
        load_activations(saved)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"format": 1}', '{"format": 3}', '{"format": "1"}', '{"format": true}', "[" * 9999, "\ud800"],
)
def test_text_that_is_no_manifest(saved, text):
    (saved / MANIFEST).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CaptureError, match=MANIFEST) as error:
        load_activations(saved)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [1, 3])
def test_another_format_is_refused_with_the_remedy(saved, number):
    edit(saved, format=number)
    with pytest.raises(CaptureError, match=rf"{MANIFEST}: format {number} can't be read, only 2; capture again"):
        load_activations(saved)


def test_folders_that_are_no_capture(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CaptureError, match="eric-fast capture"):
            load_activations(path)
