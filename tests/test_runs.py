from dataclasses import replace

import pytest
import torch

from eric_fast.errors import CaptureError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.evaluator.match import match_layers
from eric_fast.extract import ExtractOptions, TreeOptions
from eric_fast.quantise import fit_quantiser
from eric_fast.runs import answer, approximate_model, evaluate_chains, evaluate_program, predict_activations
from eric_fast.text import parse_program, print_program
from tests.activations import make_activations

OPTIONS = TreeOptions(min_leaf=10)


@pytest.mark.parametrize("threshold", ["mean", "0.6*mean+0.7*std", "quantile:0.75", "split"])
def test_images_in_another_order_give_the_same_program(threshold):
    activations = make_activations(700)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(3))
    texts = [
        print_program(approximate_model(part, layers=["all"], threshold=threshold, options=OPTIONS))
        for part in (activations, activations.take(order))
    ]
    assert texts[0] == texts[1]
    assert "kernel_support" in texts[0]


@pytest.mark.parametrize("threshold", ["mean", "0.6*mean+0.7*std", "quantile:0.75", "split"])
def test_evaluation_images_change_nothing_in_the_program(threshold):
    """The program comes from the training capture alone, and scoring leaves it as it is."""
    train, test = make_activations(400), make_activations(300, seed=1)
    program = approximate_model(train, layers=["all"], threshold=threshold, options=OPTIONS)
    before = print_program(program)
    extreme = replace(test, norms={layer: norms * 1e6 for layer, norms in test.norms.items()})
    scores = evaluate_chains(program, test), evaluate_chains(program, extreme)
    assert print_program(program) == before
    # Thresholds refitted on the test images would undo the factor: the bits must be all true instead.
    assert scores[0] != scores[1]
    predictions = predict_activations(program, extreme, start="f2")
    assert len(predictions.classes.unique()) == 1
    # One changed training image does change the program: the text isn't blind to its input.
    changed = {layer: torch.cat([norms[:-1], norms[-1:] * 1e6]) for layer, norms in train.norms.items()}
    assert print_program(approximate_model(replace(train, norms=changed), threshold="mean", options=OPTIONS)) != before


def test_chains_score_each_start_layer():
    train, test = make_activations(600), make_activations(300, seed=1)
    program = approximate_model(train, layers=["all"], options=OPTIONS)
    scores = evaluate_chains(program, test)
    assert [score.start_layer for score in scores] == ["f0", "f1", "f2"]
    assert scores[0] == evaluate_program(program, test)
    assert scores[2] == evaluate_program(program, test, start="f2")
    assert scores[0].n_rules > scores[1].n_rules > scores[2].n_rules == len(program.class_rules)
    assert scores[2].fidelity > 0.8
    assert parse_program(print_program(program)) == program


def test_target_label_uses_labels_where_they_are_known():
    activations = make_activations(400)
    labels = activations.labels.clone()
    labels[::2] = -1
    known = (labels >= 0).nonzero().flatten()
    program = approximate_model(replace(activations, labels=labels), target="label", options=OPTIONS)
    assert program.n_images == 200
    expected = approximate_model(activations.take(known), target="label", options=OPTIONS)
    assert program == expected
    assert program.class_rules != approximate_model(activations.take(known), options=OPTIONS).class_rules
    with pytest.raises(CaptureError, match="has no labels; use --target model"):
        approximate_model(replace(activations, labels=torch.full((400,), -1)), target="label")
    with pytest.raises(SettingError, match="target 'truth' is not one of model, label"):
        approximate_model(activations, target="truth")


def test_a_split_follows_the_target_and_the_criterion():
    activations = make_activations(400)
    labels = activations.labels.flip(0)  # another target altogether
    fit = {
        (target, criterion): approximate_model(
            replace(activations, labels=labels),
            threshold="split",
            target=target,
            options=TreeOptions(criterion, min_leaf=10),
        ).quantiser
        for target in ("model", "label")
        for criterion in ("entropy", "gini")
    }
    assert len(set(fit.values())) == 4
    goal = {"model": activations.predictions, "label": labels}
    for (target, criterion), quantiser in fit.items():
        last = activations.select_layers(["f2"])
        assert quantiser == fit_quantiser(last, goal[target], threshold="split", criterion=criterion)


def test_every_chain_row_uses_the_engine_that_is_named(monkeypatch):
    used = []
    monkeypatch.setattr(answer, "Evaluator", lambda *a, engine: used.append(engine) or Evaluator(*a))
    train = make_activations(400)
    program = approximate_model(train, layers="all", options=OPTIONS)
    evaluate_chains(program, train, engine="reference")
    assert used == ["reference"] * 3


def test_settings_that_change_digits_are_compared(caplog):
    train = make_activations(400)
    program = approximate_model(train, options=OPTIONS)
    evaluate_program(program, train)
    assert not caplog.records
    evaluate_program(program, replace(train, settings=replace(train.settings, dtype="float16")))
    assert "training images had dtype float32, these have float16" in caplog.text


def test_a_program_of_one_class_is_reported(caplog):
    approximate_model(make_activations(400), threshold="1e30", options=OPTIONS)
    assert "the program gives every image the class" in caplog.text


def test_layers_are_matched_by_name_and_pattern():
    known = ("conv1", "block.0.relu", "block.0.relu_1", "block.1.relu")
    assert match_layers(None, known) == ["block.1.relu"]
    assert match_layers(["all"], known) == list(known)
    assert match_layers(["block.1.relu", "conv1"], known) == ["conv1", "block.1.relu"]
    assert match_layers(["block.0.*"], known) == ["block.0.relu", "block.0.relu_1"]
    assert match_layers(["all"], ("a", "all")) == ["all"]
    with pytest.raises(CaptureError, match="no layer 'conv2'; did you mean 'conv1'"):
        match_layers(["conv2"], known)
    with pytest.raises(CaptureError, match="no layers"):
        match_layers(None, ())
    with pytest.raises(CaptureError, match="no layer is named; there are 'conv1'"):
        match_layers([], known)
    assert match_layers("all", known) == list(known)


def test_captures_of_another_model_or_with_other_classes_are_refused():
    train = make_activations(400)
    program = approximate_model(train, options=OPTIONS)
    other = replace(train, settings=replace(train.settings, fingerprint="bad"))
    with pytest.raises(CaptureError, match="from another model .fingerprint 5eed, this one's is bad"):
        evaluate_program(program, other)
    evaluate_program(replace(program, fingerprint=""), other)  # written by hand, for no model in particular
    with pytest.raises(CaptureError, match="first that differ are 'c' and 'z'"):
        evaluate_program(program, replace(train, classes=("a", "b", "z")))
    with pytest.raises(CaptureError, match="3 classes, the capture 4"):
        evaluate_program(program, replace(train, classes=("a", "b", "c", "d")))


def test_a_named_engine_is_never_changed():
    program = approximate_model(make_activations(400), options=OPTIONS)
    scores = [
        evaluate_program(program, make_activations(100), engine=engine) for engine in ("reference", "cpu", "auto")
    ]
    assert scores[0] == scores[1] == scores[2]
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="engine 'gpu' needs a CUDA device"):
            evaluate_program(program, make_activations(100), engine="gpu")


@pytest.mark.gpu
def test_gpu_engine_scores_as_the_reference():
    program = approximate_model(make_activations(400), layers=["all"], options=OPTIONS)
    scores = [evaluate_program(program, make_activations(999), engine=engine) for engine in ("reference", "gpu")]
    assert scores[0] == scores[1]


def test_options_of_trees_and_of_runs_are_given_in_either_way():
    train = make_activations(400)
    expected = approximate_model(train, ExtractOptions(min_leaf=10, layers="all", threshold="0.5"))
    assert approximate_model(train, OPTIONS, layers="all", threshold="0.5") == expected
    assert approximate_model(train, options=OPTIONS, layers="all", threshold="0.5") == expected
    assert approximate_model(train, min_leaf=10, layers="all", threshold="0.5") == expected
    changed = ExtractOptions(min_leaf=99, layers="f2", threshold="0.5")
    assert approximate_model(train, changed, min_leaf=10, layers="all") == expected
    assert expected != approximate_model(train, OPTIONS, layers="all")
    with pytest.raises(TypeError, match="layer"):
        approximate_model(train, layer="all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "truth"}, "target 'truth' is not one of model, label"),
        ({"grown_on": "neither"}, "grown on 'neither' is not one of true, predicted, both"),
        ({"grown_on": "predicted", "max_loss": 0.01}, "max loss is measured on true bits"),
        ({"max_loss": 1.0}, "max loss must be a share from 0 to below 1"),
        ({"max_loss": 0.1, "hold_back": 1.5}, "hold back must be a share between 0 and 1"),
        ({"min_leaf": 0}, "min leaf must be a whole number"),
    ],
)
def test_options_without_meaning_are_refused_where_they_are_made(options, message):
    with pytest.raises(SettingError, match=message):
        ExtractOptions(**options)


def test_a_share_that_leaves_no_image_on_one_side_is_refused():
    with pytest.raises(CaptureError, match="holding back 0.001 of 30 images leaves one side empty"):
        approximate_model(make_activations(30), max_loss=0.1, hold_back=0.001)
