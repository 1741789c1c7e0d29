"""What the commands refuse: one line, exit code 2, nothing overwritten, nothing left behind."""

import json
import os
import re
import shutil
import signal
from contextlib import nullcontext

import pytest
from safetensors.torch import load_file, save_file

from eric_fast.store import load_activations, save_activations
from tests.command_fixtures import GREY, NETWORK


def test_bad_images_are_named_and_skipped_only_on_request(made, refuse, eric, photos, tmp_path):
    (tmp_path / "grey.py").write_text(NETWORK + GREY)
    arguments = ["capture", f"{tmp_path / 'grey.py'}:build", photos, "-o", tmp_path / "c"]
    assert "cat/1.jpg" in (message := refuse(*arguments))
    assert "--skip-bad-images" in message
    assert not (tmp_path / "c").exists()
    code, out, err = eric(*arguments, "--skip-bad-images", "--json", tmp_path / "c.json")
    assert code == 0
    assert "skipped 1 image that" in out
    assert "accuracy: unknown" in out
    figures = json.loads((tmp_path / "c.json").read_text())
    assert (figures["n_images"], figures["n_bad_images"], figures["model_accuracy"]) == (5, 1, None)
    assert "labels are unknown" in err


def test_models_and_data_that_cannot_be_used(made, refuse, tmp_path):
    network, capture = made / "net.py", ["-o", tmp_path / "c"]
    (tmp_path / "empty").mkdir()
    assert "empty" in refuse("capture", f"{network}:build", tmp_path / "empty", *capture)
    assert "convolution" in refuse("capture", f"{network}:without_convolutions", "digits", *capture)
    message = refuse("capture", f"{network}:not_a_number", "digits", *capture)
    assert "layer '1', kernel 3" in message
    assert "digits/0000" in message
    assert "'vgg16'" in refuse("capture", "vgg17", "digits", "--weights", "none", *capture)
    assert "--weights" in refuse("capture", "vgg16", "digits", *capture)
    assert "did you mean" in refuse("capture", f"{network}:build", "digits", "--layers", "11", *capture)
    assert "norm" in refuse("capture", f"{network}:build", "digits", "--norm", "l3", *capture)
    assert not (tmp_path / "c").exists()


def test_programs_that_cannot_be_used(made, refuse, tmp_path):
    text = (made / "p.lp").read_text()
    path = tmp_path / "p.lp"

    def refuse_text(new_text):
        path.write_text(new_text)
        return refuse("evaluate", path, made / "test")

    assert refuse_text(text.replace("classes(3,", "classes(3;")).startswith(f"{path}:")
    line = text[: text.index("classes(3,")].count("\n") + 1
    assert refuse_text(text.replace("classes(3,", "classes(3;")).startswith(f"{path}:{line}:10: expected")
    assert "a second fact norm" in refuse_text(text + 'norm("l1").')
    kernel = re.search(r"(?<!n_)k_3_(\d+)\(X\) :- image\(X\), (?!not n_)", text)[1]  # whose rules say where it is true
    recursive = text + f"k_3_{kernel}(X) :- image(X), k_3_{kernel}(X)."
    assert f"recursion: 3:{kernel} <- 3:{kernel}" in refuse_text(recursive)
    threshold = next(line for line in text.splitlines() if line.startswith("kernel(k_1_0,"))
    assert '"high" is not a number' in refuse_text(text.replace(threshold, 'kernel(k_1_0,"1",0,">","high").'))
    extra = 'kernel(k_1_6,"1",6,">","0.5").'
    assert "needs kernel 6 of layer '1', but" in refuse_text(text.replace(threshold, f"{extra}\n{threshold}"))
    fingerprint = text.split('fingerprint("')[1].split('"')[0]
    assert "another model" in refuse_text(text.replace(fingerprint, "0" * 64))
    assert "can't be read" in refuse("show", tmp_path / "missing.lp")
    assert "did you mean '3'" in refuse("show", made / "p.lp", "--class", "33")
    assert "not an atom" in refuse("show", made / "p.lp", "--kernel", "1:9")
    assert "no layer '2'" in refuse("evaluate", made / "p.lp", made / "test", "--start", "2")
    assert "engine 'warp'" in refuse("evaluate", made / "p.lp", made / "test", "--engine", "warp")
    assert "--model" in refuse("evaluate", made / "p.lp", "digits/test")


def test_settings_of_extract_that_mean_nothing(made, refuse, tmp_path):
    extract = ["extract", made / "train", "-o", tmp_path / "p.lp"]
    assert "threshold 'median'" in refuse(*extract, "--threshold", "median")
    assert "min leaf 'few'" in refuse(*extract, "--min-leaf", "few")
    assert "criterion 'x'" in refuse(*extract, "--criterion", "x")
    assert "no layer '4'" in refuse(*extract, "--layers", "4")
    assert "target 'x'" in refuse(*extract, "--target", "x")
    assert "manifest.json" in refuse("extract", tmp_path, "-o", tmp_path / "p.lp")
    assert not (tmp_path / "p.lp").exists()


def test_one_class_only(made, refuse, eric, tmp_path):
    activations = load_activations(made / "train")
    save_activations(activations.take((activations.labels == 4).nonzero().flatten()), tmp_path / "four")
    message = refuse("extract", tmp_path / "four", "-o", tmp_path / "p.lp", "--target", "label")
    assert "the target is '4' on all" in message


def test_outputs_are_replaced_only_with_force(made, refuse, eric, tmp_path):
    for path, arguments in (
        (tmp_path / "p.lp", ["extract", made / "train", "--target", "label", "-o"]),
        (tmp_path / "p.csv", ["predict", made / "p.lp", made / "test", "-o"]),
        (tmp_path / "e.json", ["evaluate", made / "p.lp", made / "test", "--json"]),
    ):
        assert eric(*arguments, path)[0] == 0
        before = sorted((p, p.read_bytes()) for p in (path.iterdir() if path.is_dir() else [path]))
        assert f"{path} exists; give --force" in refuse(*arguments, path)
        assert sorted((p, p.read_bytes()) for p in (path.iterdir() if path.is_dir() else [path])) == before
        assert eric(*arguments, path, "--force")[0] == 0
    (tmp_path / "file").write_text("x")
    assert "can't be written" in refuse("extract", made / "train", "-o", tmp_path / "file" / "p.lp")


def test_one_path_is_not_given_twice(made, refuse, tmp_path):
    before = (made / "p.lp").read_bytes()
    again = ["--force", "--target", "label"]
    for arguments in (
        ["extract", made / "train", "-o", tmp_path / "x", "--json", tmp_path / "x", *again],
        ["predict", made / "p.lp", made / "test", "-o", made / "p.lp", "--force"],
        ["evaluate", made / "p.lp", made / "test", "--json", made / "." / "p.lp", "--force"],
    ):
        assert "is given twice" in refuse(*arguments)
    assert not (tmp_path / "x").exists()
    assert (made / "p.lp").read_bytes() == before


def test_no_output_goes_into_a_capture_that_is_read(made, refuse):
    before = sorted((path, path.read_bytes()) for path in (made / "test").iterdir())
    predict = ["predict", made / "p.lp", made / "test", "--force", "-o"]
    for name in ("manifest.json", "answers.csv"):
        assert "lies in a capture" in refuse(*predict, made / "test" / name)
    assert sorted((path, path.read_bytes()) for path in (made / "test").iterdir()) == before


def test_a_capture_that_lacks_a_layer_says_how_to_make_one(made, eric, refuse, tmp_path):
    network = f"{made / 'net.py'}:build"
    assert eric("capture", network, "digits/test", "--layers", "3", "--limit", "20", "-o", tmp_path / "c")[0] == 0
    message = refuse("evaluate", made / "p.lp", tmp_path / "c", "--chains")
    assert message.startswith(f"{tmp_path / 'c'} lacks layer '1' of the program; there are '3'")
    assert "capture the images again with --layers '1,3'" in message


def test_outputs_are_checked_before_the_work(made, refuse, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").write_text("x")
    monkeypatch.setattr("eric_fast.capture.load_model", lambda *_: pytest.fail("work began"))
    capture = ["capture", f"{made / 'net.py'}:build", "digits", "--force", "-o"]
    assert "is not a capture of eric_fast" in refuse(*capture, tmp_path / "photos")
    assert "is a folder" in refuse(*capture, tmp_path / "c", "--json", tmp_path / "photos")
    assert "'.' has no file name" in refuse(*capture, "")
    assert (tmp_path / "photos" / "x.jpg").exists()


def test_options_of_the_network_mean_nothing_for_a_capture(made, refuse):
    evaluate = ["evaluate", made / "p.lp", made / "test"]
    assert "--limit has no meaning" in refuse(*evaluate, "--limit", "5")
    assert "--model, --dtype have no meaning" in refuse(*evaluate, "--model", "x", "--dtype", "float16")


def test_another_model_is_refused_before_its_images_are_captured(made, refuse, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NETWORK.replace("manual_seed(1)", "manual_seed(2)"))
    monkeypatch.setattr("eric_fast.capture.capture_activations", lambda *_, **__: pytest.fail("captured"))
    message = refuse("evaluate", made / "p.lp", "digits/test", "--model", f"{tmp_path / 'net.py'}:build")
    assert "from another model" in message


def test_wrong_usage_is_one_line(refuse):
    assert "Try --help" in refuse("extract", "x", "-o", "y", "--max-depth", "abc")
    assert "Missing option" in refuse("extract", "x")
    assert "No such command" in refuse("extrct")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["load torch", "train a CNN", "capture", "class tree"])
def test_a_stopped_command_leaves_nothing_behind(tmp_path, moment, stop, monkeypatch, eric):
    """The signal comes at this moment of the demo, in this process."""

    def send_signal(stage, done, total):
        if stage == moment:
            os.kill(os.getpid(), stop)

    monkeypatch.setattr("eric_fast.demo.run.N_EPOCHS", 1)
    monkeypatch.setattr("eric_fast.cli.commands.show_progress", lambda: nullcontext(send_signal))
    code, _, err = eric("demo", "-o", tmp_path / "demo")
    assert code == 128 + stop
    assert err.splitlines()[-1].startswith("error: interrupted")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_capture_is_refused(made, refuse, tmp_path):
    shutil.copytree(made / "test", tmp_path / "c")
    shard = next((tmp_path / "c").glob("*.safetensors"))
    tensors = load_file(shard)
    tensors["norms.1"][0, 0] += 1
    save_file(tensors, shard)
    assert shard.name in refuse("evaluate", made / "p.lp", tmp_path / "c")
