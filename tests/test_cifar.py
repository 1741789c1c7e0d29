"""The whole way on a trained network and real images: 2,000 of CIFAR-10 to extract from, 500 to score on."""

import tarfile
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.tree import DecisionTreeClassifier

from eric_fast.cli import app
from eric_fast.extract import GROWN_RULES, TreeOptions, grow_trees
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program, predict_bits
from eric_fast.store import is_capture, load_activations
from eric_fast.text import parse_program, print_program
from tests.grow_oracle import impurity
from tests.oracles import interpret, run_clingo

RELUS = ("features.2", "features.5", "features.9", "features.12", "features.16", "features.19")
# Of googlenet one layer is the join that its head reads.
IMAGENET_MODELS = {"vgg16": 13, "resnet18": 17, "mobilenet_v3_small": 23, "googlenet": 58}


@pytest.mark.slow
def test_capture_sees_the_six_layers_and_the_networks_accuracy(cifar):
    train, test = cifar
    assert train.layers == RELUS
    assert [norms.shape[1] for norms in train.norms.values()] == [64, 64, 128, 128, 256, 256]
    assert (train.n_images, test.n_images) == (2000, 500)
    accuracy = (test.predictions == test.labels).double().mean().item()
    assert accuracy == pytest.approx(0.861, abs=0.03)


@pytest.mark.parametrize("min_leaf", [40, 8, 2])
def test_class_rules_score_as_a_plain_tree_does(cifar, min_leaf):
    """scikit-learn draws lots where atoms tie, so its own trees differ: ours scores like one of them."""
    train, test = cifar
    program = approximate_model(train, threshold="mean", options=TreeOptions(min_leaf=min_leaf))
    score = evaluate_program(program, test)
    norms = train.norms[RELUS[-1]].numpy().astype(np.float64)
    thresholds = norms.mean(axis=0).astype(np.float32)
    n_leaves, fidelity, accuracy = [], [], []
    for seed in range(8):
        tree = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=min_leaf, random_state=seed)
        tree.fit(train.norms[RELUS[-1]].numpy() > thresholds, train.predictions.numpy())
        answers = tree.predict(test.norms[RELUS[-1]].numpy() > thresholds)
        n_leaves.append(tree.get_n_leaves())
        fidelity.append((answers == test.predictions.numpy()).mean())
        accuracy.append((answers == test.labels.numpy()).mean())
    for found, theirs, noise in (
        (int(dict(program.settings)[GROWN_RULES]), n_leaves, 2),
        (score.fidelity, fidelity, 0.005),
        (score.accuracy, accuracy, 0.005),
    ):
        assert min(theirs) - noise <= found <= max(theirs) + noise, theirs
    assert score.coverage == 1
    assert score.fidelity > 0.6


@pytest.mark.parametrize("criterion", ["entropy", "gini"])
def test_kernel_trees_are_as_pure_as_scikit_learns(cifar, criterion):
    """Every 16th kernel of each layer: as many leaves, as pure, as scikit-learn grows, within what ties do."""
    train, _ = cifar
    options = TreeOptions(criterion, min_leaf=40)
    quantiser = fit_quantiser(train)
    bits = quantise_activations(train, quantiser)
    sums = np.zeros((2, 2))  # leaves and impurity: ours, theirs
    for below, layer in pairwise(RELUS):
        inputs = bits.select_atoms([atom.name for atom in quantiser.atoms_of_layer(below)])
        targets = bits.select_atoms([atom.name for atom in quantiser.atoms_of_layer(layer)][::16])
        forest = grow_trees(inputs, targets, options)
        leaves = forest.counts[forest.feature < 0].tolist()
        sums[0] += len(leaves), float(sum(impurity(counts, criterion) for counts in leaves))
        columns, goals = inputs.to_bools().numpy(), targets.to_bools().numpy()
        for goal in goals.T:
            tree = (
                DecisionTreeClassifier(criterion=criterion, min_samples_leaf=40, random_state=0)
                .fit(columns, goal)
                .tree_
            )
            ends = tree.children_left < 0
            sums[1] += ends.sum(), (tree.impurity * tree.n_node_samples)[ends].sum()
    assert sums[0] == pytest.approx(sums[1], rel=0.004)


def test_each_way_to_set_thresholds_beats_the_mean(cifar):
    train, test = cifar
    options = TreeOptions(min_leaf=40)
    fidelity = {
        threshold: evaluate_program(approximate_model(train, threshold=threshold, options=options), test).fidelity
        for threshold in ("mean", "0.6*mean+0.7*std", "split")
    }
    assert fidelity["mean"] < fidelity["split"]
    assert min(fidelity.values()) > 0.65


def test_chain_loses_with_each_layer_and_clingo_agrees(cifar):
    train, test = cifar
    program = approximate_model(train, layers=RELUS[-3:], options=TreeOptions(min_leaf=200))
    assert parse_program(print_program(program)) == program
    scores = evaluate_chains(program, test)
    fidelity = [score.fidelity for score in scores]
    assert fidelity == sorted(fidelity)
    assert 0.15 < fidelity[0] < fidelity[-1] - 0.1
    bits = quantise_activations(test.take(torch.arange(0, 500, 25)), program.quantiser)
    predictions = predict_bits(program, bits)
    lowest = bits.select_atoms([atom.name for atom in program.quantiser.atoms_of_layer(RELUS[-3])]).to_bools()
    samples = [set(row.nonzero().flatten().tolist()) for row in lowest]
    for sample, answer, (names, _, _) in zip(
        samples, predictions.classes.tolist(), run_clingo(program, samples), strict=True
    ):
        assert names == {program.classes[answer]}
        assert interpret(program, sample)[0] == answer


def test_order_of_images_changes_nothing(cifar):
    train, _ = cifar
    order = torch.randperm(train.n_images, generator=torch.Generator().manual_seed(0))
    texts = [
        print_program(approximate_model(part, threshold=threshold, options=TreeOptions(min_leaf=40)))
        for threshold in ("mean", "split")
        for part in (train, train.take(order))
    ]
    assert texts[0] == texts[1] != texts[2] == texts[3]


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """Four photographs of ImageNet's, a grey one and odd-shaped ones among them."""
    root = tmp_path_factory.mktemp("photos")
    with tarfile.open(shared / "data" / "imagenet_sample.tar") as tar:
        tar.extractall(root, filter="data")
    kinds: dict[str, list] = {"grey": [], "wide": [], "tall": [], "plain": []}
    for path in sorted((root / "imagenet_sample").rglob("*.JPEG")):
        with Image.open(path) as image:
            shape = (
                "wide" if image.width > 1.6 * image.height else "tall" if image.height > 1.4 * image.width else "plain"
            )
            kinds["grey" if image.mode == "L" else shape].append(path)
    for path, *_ in kinds.values():
        target = root / "chosen" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return root / "chosen"


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET_MODELS)
def test_torchvision_networks_are_captured_from_the_command_line(name, photos, tmp_path):
    arguments = ["capture", name, str(photos), "--weights", "none", "--batch-size", "3", "-o", str(tmp_path / "c")]
    assert app([*arguments, "--layers", "all"], standalone_mode=False) in (None, 0)
    assert is_capture(tmp_path / "c")
    activations = load_activations(tmp_path / "c")
    assert len(activations.layers) == IMAGENET_MODELS[name]
    assert activations.n_images == 4
    assert len(activations.classes) == 1000
    assert (activations.labels == -1).all()  # folders called by number, a thousand classes called by name
    assert all(norms.any() for norms in activations.norms.values())
