"""The report before a browser sees it: which images it holds, how large they are, what it refuses, and its plots."""

import base64
import io
import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eric_fast.analyse import analyse_program, measure_effects
from eric_fast.bits import encode_rows, pack_bits
from eric_fast.errors import CaptureError, DataError, ProgramError, SettingError
from eric_fast.evaluator import Predictions
from eric_fast.extract import ExtractOptions, TreeOptions
from eric_fast.program import ClassRule, Program, atom_of
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.simplify import find_mentioned
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program
from eric_fast.show.page import build_report, draw_chain, draw_confusion, draw_kernels
from eric_fast.show.page.document import list_starts
from eric_fast.show.page.proof_maps import list_proof_maps
from eric_fast.show.page.render import SCRIPTS, escape_json, join_scripts
from eric_fast.show.page.select import choose_images, count_ranks, spread_evenly
from eric_fast.show.page.thumbnails import make_thumbnails, to_picture
from eric_fast.show.style import save_figure
from eric_fast.text import load_program
from tests.activations import make_activations


def read_document(page):
    return json.loads(re.search(r'<script[^>]* id="document"[^>]*>(.*?)</script>', page, re.S)[1])


@given(st.lists(st.booleans(), max_size=40), st.randoms(use_true_random=False), st.integers(0, 45))
def test_disagreements_come_first_and_then_preferred_images(disagrees, random, most):
    disagrees = np.array(disagrees, np.bool_)
    preferred = random.sample(range(len(disagrees)), len(disagrees) // 3)
    chosen = choose_images(disagrees, preferred, most).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(most, len(disagrees))
    n_differing = int(disagrees.sum())
    assert int(disagrees[chosen].sum()) == min(n_differing, most)
    others = [image for image in preferred if not disagrees[image]][: max(0, most - n_differing)]
    assert set(others) <= set(chosen)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.randoms(use_true_random=False), st.integers(1, 45))
def test_some_images_are_taken_whatever_else_is(disagrees, random, most):
    disagrees = np.array(disagrees, np.bool_)
    always = np.array(random.sample(range(len(disagrees)), min(most, len(disagrees) // 3)), np.int64)
    chosen = choose_images(disagrees, range(len(disagrees)), most, always).tolist()
    assert set(always.tolist()) <= set(chosen)
    assert len(chosen) == min(most, len(disagrees))
    left = disagrees.copy()
    left[always] = False
    assert int(left[chosen].sum()) == min(int(left.sum()), most - len(always))


def test_ranks_fit_into_half_of_the_room():
    strongest = np.array([[0, 1, 2], [3, 1, 4]])
    assert [count_ranks(strongest, most, 100) for most in (12, 10, 6, 4, 3)] == [3, 3, 2, 1, 0]
    assert count_ranks(strongest, 5, 5) == 3  # all images are there
    assert count_ranks(strongest[:0], 5, 100) == 3


@pytest.mark.parametrize("most", [300, 80, 2])
def test_the_strongest_images_are_those_of_the_whole_capture(most):
    source = make_activations(300)
    program = approximate_model(source, layers="all", options=TreeOptions(min_leaf=20))
    document = read_document(build_report(program, source, most_images=most).page)
    places = np.frombuffer(base64.b64decode(document["images"]["places"]), "<i4")
    n = document["strongest"]["n"]
    images = np.frombuffer(base64.b64decode(document["strongest"]["images"]), "<i4").reshape(len(program.atoms), n)
    assert (n > 0) == (most > 2)
    for atom in sorted(find_mentioned(program)):
        norms = source.norms[program.atoms[atom].layer][:, program.atoms[atom].column]
        assert places[images[atom]].tolist() == norms.topk(n).indices.tolist()
        assert (images[atom] >= 0).all()


def test_images_are_spread_over_all():
    assert spread_evenly(np.arange(100), 4).tolist() == [0, 25, 50, 75]
    assert spread_evenly(np.arange(3), 4).tolist() == [0, 1, 2]
    assert spread_evenly(np.arange(3), 0).tolist() == []


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 63, 1000])
def test_rows_are_encoded_without_padding(n):
    bits = torch.rand(n, 3, generator=torch.Generator().manual_seed(n)) < 0.5
    rows = np.frombuffer(encode_rows(pack_bits(bits), n), "<u4").reshape(3, -1)
    assert rows.shape == (3, -(-n // 32))
    found = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")[:, :n]
    assert (found == bits.T.numpy()).all()


def decode(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_thumbnails_fit_the_room_and_are_never_enlarged():
    noise = np.random.default_rng(0).integers(256, size=(20, 150, 200, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels) for pixels in noise]
    large = make_thumbnails(images, 20, 10_000_000)
    assert decode(large[0]).size == (128, 96)
    small = make_thumbnails(images, 20, 40_000)
    assert sum(map(len, small)) <= 40_000
    assert decode(small[0]).size[0] < 128
    tiny = make_thumbnails([Image.fromarray(noise[0, :8, :8, 0])], 1, 10_000)
    assert (np.asarray(decode(tiny[0]).convert("L")) == noise[0, :8, :8, 0]).all()
    with pytest.raises(DataError, match="don't fit"):
        make_thumbnails(images, 20, 1000)


def test_tensors_become_pictures():
    levels = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    grey = np.asarray(to_picture(levels))
    assert (grey == levels[0].numpy()[:, :, None]).all()
    assert (np.asarray(to_picture(levels / 255)) == grey).all()
    assert (np.asarray(to_picture(levels / 25.5 - 5)) == grey).all()
    coloured = torch.zeros(3, 2, 2)
    coloured[0] = 1
    assert np.asarray(to_picture(coloured))[0, 0].tolist() == [255, 0, 0]


def test_nothing_in_the_data_ends_its_element():
    text = escape_json({"</script>": "<!-- & \u2028 é"})
    assert "<" not in text
    assert json.loads(text) == {"</script>": "<!-- & \u2028 é"}
    assert "</script" not in join_scripts()


def test_every_file_of_the_client_is_in_the_page():
    names = {path.name for path in (files("eric_fast.show.page") / "client").iterdir()}
    assert names == {*SCRIPTS, "style.css", "page.html.jinja"}


@pytest.fixture(scope="module")
def activations():
    return make_activations(n_images=400)


@pytest.fixture(scope="module")
def program(activations):
    return approximate_model(activations, layers="all", options=TreeOptions(min_leaf=20))


def test_report_has_the_scores_of_every_start(program, activations):
    report = build_report(program, activations, most_images=50)
    assert report.n_embedded == 50
    assert list(report.scores) == evaluate_chains(program, activations)
    best = max(report.scores, key=lambda score: score.fidelity)
    figures = report.to_dict()
    assert figures["start_layer"] == report.start == best.start_layer
    assert figures["fidelity"] == best.fidelity
    lower = build_report(program, activations, start="f1", most_images=50)
    assert lower.start == "f1"
    assert [score.start_layer for score in lower.scores] == ["f1", "f2"] == list_starts(lower.program)


def test_report_of_votes_for_each_start_is_about_the_highest(activations):
    options = ExtractOptions(rules="weights", n_votes=4)
    program = approximate_model(activations, layers="all", options=options)
    assert program.starts == (("f0",), ("f1",), ("f2",))
    report = build_report(program, activations, most_images=50)
    assert [score.start_layer for score in report.scores] == ["f2"]
    assert report.scores[0] == evaluate_program(program, activations, start="f2")
    lower = build_report(program, activations, start="f1", most_images=50)
    assert list(lower.scores) == [evaluate_program(program, activations, start="f1")]  # from f2, its votes are others


def test_distances_are_between_norms_of_the_kernels_that_atoms_compare(activations):
    atoms = tuple(InputAtom("f2", kernel, ">", 0.5) for kernel in (3, 0, 1))
    rules = (ClassRule(0, (0, ~1)), ClassRule(1, (2,)), ClassRule(2, ()))
    program = Program(Quantiser(atoms), activations.classes, rules)
    found = build_report(program, activations, most_images=9).analysis.subclasses
    assert found.rows == analyse_program(program, activations).subclasses.rows
    assert any(row.cohesion is not None for row in found.rows)


def test_report_refuses_what_it_cannot_show(program, activations):
    with pytest.raises(CaptureError, match="lacks layer 'f0'"):
        build_report(program, activations.select_layers(["f1", "f2"]))
    with pytest.raises(CaptureError, match="another model"):
        build_report(program, replace(activations, settings=replace(activations.settings, fingerprint="other")))
    with pytest.raises(CaptureError, match="no images"):
        build_report(program, activations.take(torch.arange(0)))
    with pytest.raises(SettingError, match="one image"):
        build_report(program, activations, most_images=0)
    table = Program(TableQuantiser((TableAtom(0, "x", ">", 1.0),), (Column("x"),)), ("a",), ())
    with pytest.raises(ProgramError, match="over a table"):
        build_report(table, activations)


def test_data_must_hold_the_captured_images(program, activations):
    from eric_fast import open_data

    with pytest.raises(DataError, match="has no image 'image0'"):
        build_report(program, activations, data=open_data("digits/test"))


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plots_have_titles_and_axes(program, activations, tmp_path, ending):
    scores = evaluate_chains(program, activations)
    scores[0] = replace(scores[0], start_layer="$x^2$ odd")
    bits = quantise_activations(activations, program.quantiser)
    effects = measure_effects(program, bits, activations.predictions, start="f2")
    for figure in (draw_confusion(scores[0], ["$a$", "b_1", "c"]), draw_chain(scores), draw_kernels(effects)):
        axes = figure.axes[0]
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        save_figure(figure, tmp_path / f"plot.{ending}", force=True)
        assert (tmp_path / f"plot.{ending}").stat().st_size > 1000


def check_proof_maps(document, program):
    """Each kernel of a rule that decides has its map on every image that the rule decides."""
    start = next(start for start in document["starts"] if start["start_layer"] == document["start"])
    maps = {entry["atom"]: np.frombuffer(base64.b64decode(entry["images"]), "<i4") for entry in document["heat"]}
    for entry in document["heat"]:
        values = np.frombuffer(base64.b64decode(entry["values"]), np.uint8)
        assert len(values) == len(maps[entry["atom"]]) * entry["width"] * entry["height"]
        assert values.max() == 255
    rules = np.frombuffer(base64.b64decode(start["rules"]), "<i4")
    assert (rules >= 0).all()
    for image, rule in enumerate(rules.tolist()):
        assert all(image in maps[atom_of(literal)] for literal in program.class_rules[rule].body)


def test_proofs_of_disagreements_have_maps_first(monkeypatch):
    program = Program(
        Quantiser(tuple(InputAtom("f", k, ">", 0.5) for k in range(3))),
        ("a", "b"),
        (ClassRule(0, (0, ~2)), ClassRule(1, ())),
    )
    rules = torch.tensor([0, 1, 0, -1, 0, 0], dtype=torch.int32)
    answers = [Predictions(rules.clamp(min=0), rules)]
    disagrees = torch.tensor([False, False, False, False, True, False])
    embedded = torch.tensor([0, 1, 2, 4])  # by their places, of which the last comes first
    assert list_proof_maps(program, answers, embedded, disagrees) == {0: [0, 2, 3], 2: [0, 2, 3]}
    monkeypatch.setattr("eric_fast.show.page.proof_maps.MOST_PROOFS", 2)
    assert list_proof_maps(program, answers, embedded, disagrees) == {0: [0, 3], 2: [0, 3]}


def test_report_command(made, eric, refuse, tmp_path):
    network = f"{made / 'net.py'}:build"
    common = ["report", made / "test", "--program", made / "p.lp", "-o", tmp_path / "r"]
    code, out, err = eric(*common, "--data", "digits/test", "--model", network, "--json", tmp_path / "f.json")
    assert code == 0, err
    assert "450 images, of which the page holds 450" in out
    names = {"index.html", "report.json", "confusion.png", "confusion.svg", "chain.png", "chain.svg", "kernels.png"}
    assert names <= {path.name for path in (tmp_path / "r").iterdir()}
    text = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert len(text) < 20_000_000
    figures = json.loads((tmp_path / "r" / "report.json").read_text())
    assert figures.pop("made_by") == "eric_fast report"
    assert set(figures.pop("files")) == {path.name for path in (tmp_path / "r").iterdir()}
    assert figures == json.loads((tmp_path / "f.json").read_text())
    check_proof_maps(read_document(text), load_program(made / "p.lp"))
    assert "exists; give --force" in refuse(*common)
    (tmp_path / "r" / "report.json").unlink()
    assert "is not a report of eric_fast" in refuse(*common, "--force")
    common[-1] = tmp_path / "s"
    assert "--model needs --data" in refuse(*common, "--model", network)
    assert "has no layer 'x'" in refuse(*common, "--start", "x")
    assert "fingerprint" in refuse(*common, "--data", "digits/test", "--model", "squeezenet1_1", "--weights", "none")
    assert not (tmp_path / "s").exists()
