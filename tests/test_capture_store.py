"""A capture on disk: what was written comes back, and nothing else is believed."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from eric_fast.activations import UNKNOWN, Activations, CaptureSettings
from eric_fast.capture import MANIFEST, is_capture, load_activations, save_activations
from eric_fast.errors import CaptureError, OutputError


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
    with pytest.raises(OutputError, match="not replaced"):
        save_activations(make_activations(), tmp_path / "thesis", force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["capture", "thesis"]


def test_over_long_and_empty_paths(saved):
    long = saved / ("a" * 300)
    for path, part in [(long, "is not a capture"), ("", "path of the capture is empty")]:
        assert not is_capture(path)
        with pytest.raises(CaptureError, match=part) as error:
            load_activations(path)
        assert "\n" not in str(error.value)
    entry = json.loads((saved / MANIFEST).read_text())["shards"][0]
    for name in (long.name, "\0", "\ud800"):
        edit(saved, shards=[entry | {"file": name}])
        with pytest.raises(CaptureError, match="is missing; capture again"):
            load_activations(saved)


def test_the_current_folder_is_not_the_empty_path(saved, monkeypatch):
    monkeypatch.chdir(saved)
    assert is_capture(".")
    assert not is_capture("")


def test_ids_must_differ(saved, tmp_path):
    twice = make_activations().take(torch.tensor([1, 2, 1]))
    with pytest.raises(CaptureError, match=r"two images have the id 'class/é 1.*'; each must have its own"):
        save_activations(twice, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    edit(saved, ids=["a", "b", "c", "d", "e", "f", "b"])
    with pytest.raises(CaptureError, match=rf"{MANIFEST}: two images have the id 'b'"):
        load_activations(saved)


def test_what_fits_no_activations_is_named_with_its_capture(saved):
    edit(saved, classes=["a", "a"])
    with pytest.raises(CaptureError, match=f"^{saved}: two classes of the capture are called 'a'"):
        load_activations(saved)
    edit(saved, classes=["a"])
    with pytest.raises(CaptureError, match=f"^{saved}: .* must lie between"):
        load_activations(saved)


def test_many_shards(saved):
    shard = saved / "shard-00000.safetensors"
    tensors = load_file(shard)
    shard.unlink()
    entries = []
    for i, (start, stop) in enumerate([(0, 3), (3, 3), (3, 7)]):
        file = saved / f"shard-{i:05d}.safetensors"
        save_file({name: tensor[start:stop].clone() for name, tensor in tensors.items()}, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries.append({"file": file.name, "start": start, "stop": stop, "sha256": digest})
    edit(saved, shards=entries)
    check_same(load_activations(saved), make_activations())
    for hostile in (entries[:2], entries[1:], entries[::-1], [entries[0], *entries], []):
        edit(saved, shards=hostile)
        with pytest.raises(CaptureError, match="'shards'"):
            load_activations(saved)


def test_damaged_shards(saved):
    shard = saved / "shard-00000.safetensors"
    whole = shard.read_bytes()

    def refuse(part):
        with pytest.raises(CaptureError, match=part) as error:
            load_activations(saved)
        assert "\n" not in str(error.value)
        assert "shard-00000" in str(error.value)

    def sign():
        entry = json.loads((saved / MANIFEST).read_text())["shards"][0]
        edit(saved, shards=[entry | {"sha256": hashlib.sha256(shard.read_bytes()).hexdigest()}])

    for damaged in (whole[:-1], whole[:5], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        shard.write_bytes(damaged)
        refuse("SHA-256")
    shard.write_bytes(whole[:-1])
    sign()
    refuse("damaged")
    tensors = load_file_of(whole, saved)
    for change, name in [
        ({"labels": tensors["labels"][:3].clone()}, "labels"),
        ({"predictions": tensors["predictions"].int()}, "predictions"),
        ({"norms.z.relu": tensors["norms.z.relu"][:, :2].clone()}, "norms.z.relu"),
    ]:
        save_file(tensors | change, shard)
        sign()
        refuse(f"'{name}' is not the")
    save_file({k: v for k, v in tensors.items() if k != "labels"}, shard)
    sign()
    refuse("'labels'")
    save_file(tensors | {"norms.z.relu": tensors["norms.z.relu"] * float("nan")}, shard)
    sign()
    with pytest.raises(CaptureError, match=f"^{saved}: .*nan.*check the model's weights and the image$"):
        load_activations(saved)
    shard.unlink()
    refuse("missing")


def load_file_of(content, folder):
    path = folder / "copy"
    path.write_bytes(content)
    tensors = load_file(path)
    path.unlink()
    return tensors


@pytest.mark.parametrize("file", ["../outside.safetensors", "/etc/passwd", "", "..", ".", "a/b", 3, None])
def test_shards_stay_in_the_folder(saved, file):
    (saved / "shard-00000.safetensors").rename(saved.parent / "outside.safetensors")
    entry = json.loads((saved / MANIFEST).read_text())["shards"][0]
    edit(saved, shards=[entry | {"file": file}])
    with pytest.raises(CaptureError, match=r"own folder"):
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
        ("ids", None),
        ("ids", ["only one"]),
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
    "text", ["", "{", "[]", "3", '{"format": 2}', '{"format": "1"}', '{"format": true}', "[" * 9999, "\ud800"]
)
def test_text_that_is_no_manifest(saved, text):
    (saved / MANIFEST).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CaptureError, match=MANIFEST) as error:
        load_activations(saved)
    assert "\n" not in str(error.value)


def test_folders_that_are_no_capture(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CaptureError, match="eric-fast capture"):
            load_activations(path)
