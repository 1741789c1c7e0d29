"""`eric-fast capture`, `verify` and `pack`, as a person runs them; and a small share of `python -m tests.faults`."""

import json

import pytest
import torch

from eric_fast.errors import CaptureError
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.store import load_activations, load_bits, open_capture
from tests.command_fixtures import NETWORK
from tests.faults import run_checks


@pytest.fixture
def network(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    return f"{tmp_path / 'net.py'}:build"


def read_folder(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_capture_verify_damage_and_again(network, eric, refuse, tmp_path):
    capture = ["capture", network, "digits", "--limit", "1030", "-o", tmp_path / "c", "--shard-size", "1024"]
    code, out, _ = eric(*capture)
    assert code == 0
    assert f"{tmp_path / 'c'}: norms and logits of 1,030 images in 2 shards; 114.3 kB to write" in out
    assert "captured 1,030 images, 14 kernels of 2 layers (1,030 of them in" in out
    whole = read_folder(tmp_path / "c")
    code, out, _ = eric("verify", tmp_path / "c")
    assert code == 0
    assert f"all 2 shards of {tmp_path / 'c'} are as they were written" in out
    shard = tmp_path / "c" / "shard-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-300] ^= 4
    shard.write_bytes(content)
    code, out, _ = eric("verify", tmp_path / "c", "--json", tmp_path / "v.json")
    assert code == 1
    assert f"{shard} is damaged: its SHA-256 is not the one in the manifest" in out
    assert "1 of 2 shards are intact" in out
    assert "shard-00001" in (tmp_path / "v.json").read_text()
    with pytest.raises(CaptureError, match="shard-00001.safetensors is damaged"):
        load_activations(tmp_path / "c")
    code, out, _ = eric(*capture)
    assert code == 0
    assert "1 of them there and whole" in out
    assert "(6 of them in" in out
    assert read_folder(tmp_path / "c") == whole
    assert "nothing was left to do" in eric(*capture)[1]
    assert "contains another capture, with norm l1, now max" in refuse(*capture, "--norm", "max")
    assert eric(*capture, "--norm", "max", "--force")[0] == 0


def test_norms_then_thresholds_then_bits(network, eric, refuse, tmp_path):
    assert eric("capture", network, "digits/test", "-o", tmp_path / "n", "--norm-dtype", "float16")[0] == 0
    code, out, _ = eric("pack", tmp_path / "n", "-o", tmp_path / "b")
    assert code == 0
    assert "packed 14 bits for each of 450 images" in out
    assert "thresholds: mean of all 450 images" in out
    norms = load_activations(tmp_path / "n")
    assert torch.equal(load_bits(tmp_path / "b").words, quantise_activations(norms, fit_quantiser(norms)).words)
    both = ["capture", network, "digits/test", "--limit", "90", "--store", "both", "--thresholds", tmp_path / "b"]
    assert eric(*both, "-o", tmp_path / "t")[0] == 0
    assert open_capture(tmp_path / "t").quantiser == open_capture(tmp_path / "b").quantiser
    assert "contains bits but no norms" in refuse("pack", tmp_path / "b", "-o", tmp_path / "x")
    assert "is given twice" in refuse("pack", tmp_path / "n", "-o", tmp_path / "x", "--json", tmp_path / "x")
    assert "holds norms, which have no thresholds" in refuse(*both[:-1], tmp_path / "n", "-o", tmp_path / "x")
    sample = ["--store", "bits", "--threshold", "mean", "--statistics", "45"]
    assert eric("capture", network, "digits/test", *sample, "-o", tmp_path / "s")[0] == 0
    thresholds = open_capture(tmp_path / "s").manifest.thresholds
    assert thresholds.origin == "mean of 45 of 450 images, evenly spread"


def test_every_command_takes_bits(made, eric, refuse, tmp_path):
    for split in ("train", "test"):
        assert eric("pack", made / split, "-o", tmp_path / split, "--thresholds", made / "p.lp")[0] == 0
    extract = ["--layers", "all", "--target", "label", "--min-leaf", "20"]
    assert eric("extract", tmp_path / "train", "-o", tmp_path / "p.lp", *extract)[0] == 0
    stored = (made / "p.lp").read_text().replace('"threshold","split"', '"threshold","of the stored bits"')
    assert "stored bits" in stored
    assert (tmp_path / "p.lp").read_text() == stored
    answers = []
    for source in (made / "test", tmp_path / "test"):
        assert eric("predict", made / "p.lp", source, "-o", tmp_path / f"{len(answers)}.csv")[0] == 0
        assert eric("evaluate", made / "p.lp", source, "--json", tmp_path / f"{len(answers)}.json")[0] == 0
        answers.append([(tmp_path / f"{len(answers)}.{kind}").read_text() for kind in ("csv", "json")])
    assert answers[0][0] == answers[1][0]
    scores = [json.loads(answer[1]) for answer in answers]
    assert scores[0]["fidelity"] == scores[1]["fidelity"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--store", "bits"], "--store bits needs thresholds"),
        (["--store", "tensors"], "--store tensors needs thresholds"),
        (["--threshold", "mean"], "--store norms takes no thresholds"),
        (["--threshold", "mean", "--thresholds", "x"], "can't both be given"),
        (["--statistics", "9"], "give that too"),
        (["--shard-size", "1000"], "multiple of 1024"),
    ],
)
def test_options_that_do_not_go_together(network, refuse, tmp_path, options, part):
    assert part in refuse("capture", network, "digits/test", "--limit", "20", "-o", tmp_path / "c", *options)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("command", ["pack", "verify"])
def test_commands_explain_themselves(eric, command):
    code, out, _ = eric(command, "--help")
    assert code == 0
    assert "Usage: eric-fast" in out


@pytest.mark.slow
def test_killed_captures_for_real():
    told = dict(run_checks(["kills", "ranks"], n_kills=2, n_flips=0, seed=0, n_images=1100))
    assert told["kills"].startswith("2 times kill -9")
    assert told["ranks"].startswith("1 times kill -9 of one of two processes")
    assert all(said.endswith("resumed to the same bytes") for said in told.values())
