"""Captures at the edges give a defined program, whatever learns it."""

from dataclasses import replace

import pytest
import torch

from eric_fast import approximate_model, parse_program, print_program
from eric_fast.errors import CaptureError
from eric_fast.extract import ExtractOptions, WeightOptions
from eric_fast.runs import predict_activations
from tests.activations import make_activations

LEARNERS = {
    "weights": ExtractOptions(layers="all", rules="weights", n_votes=500, weight_options=WeightOptions(1000)),
    "single": ExtractOptions(layers="all", rules="weights", votes="single", weight_options=WeightOptions(1, 1)),
    "logistic": ExtractOptions(layers="all", rules="weights", fit="logistic", grown_on="both"),
    "single logistic": ExtractOptions(layers="all", rules="weights", votes="single", fit="logistic", n_votes=1),
    "fold": ExtractOptions(layers="all", rules="fold", min_leaf=1),
}


def make_constant():
    images = make_activations(200)
    return replace(images, norms={layer: torch.full_like(norms, 2.0) for layer, norms in images.norms.items()})


def make_duplicates():
    images = make_activations(200)
    return replace(images, norms={layer: norms[:, :1].repeat(1, 5) for layer, norms in images.norms.items()})


CAPTURES = {
    "constant bits": make_constant,
    "duplicate bits": make_duplicates,
    "a class that is never predicted": lambda: make_activations(200, classes=("a", "b", "never", "c")),
    "one kernel": lambda: make_activations(200, n_kernels=(1, 1, 1)),
    "two images": lambda: make_activations(2, predictions=torch.tensor([0, 1])),
}


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("capture", CAPTURES)
def test_programs_are_defined(learner, capture):
    images = CAPTURES[capture]()
    program = approximate_model(images, LEARNERS[learner])
    assert parse_program(print_program(program)) == program
    for layer in program.layers:
        answers = predict_activations(program, images, start=layer).classes
        assert answers.min() >= 0
        assert set(answers.tolist()) <= set(images.predictions.tolist())
    if capture == "constant bits":
        assert len(answers.unique()) == 1
        assert answers[0] == images.predictions.bincount().argmax()
    if capture == "two images":
        assert answers.tolist() == [0, 1]


@pytest.mark.parametrize("learner", LEARNERS)
def test_one_image_and_no_kernel_are_refused(learner):
    with pytest.raises(CaptureError, match="on all 1 training images"):
        approximate_model(make_activations(1), LEARNERS[learner])
    with pytest.raises(CaptureError, match="no kernels"):
        approximate_model(make_activations(50, n_kernels=(0,)), LEARNERS[learner])
