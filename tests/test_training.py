"""What is measured and chosen on held-back training images: by names alone, for any number of processes."""

import json
import shlex
from dataclasses import dataclass, replace

import pytest
import torch

from eric_fast import approximate_model, load_program, print_program
from eric_fast.errors import SettingError
from eric_fast.extract import ExtractOptions, WeightOptions
from eric_fast.processes import Combine, Processes, keep
from eric_fast.program.atoms import REGIONS
from eric_fast.training import choose_options, measure_weight_rules, select_training
from eric_fast.training.held_back import TRIAL_IMAGES, start_trial
from tests.activations import make_activations
from tests.ranks import run_ranks

AUTO = ExtractOptions(layers="all", rules="weights", n_votes=6, grid="auto", weight_options=WeightOptions("auto"))


@dataclass(frozen=True)
class Threads(Processes):
    """Processes that are threads of this one."""

    add_up: Combine = keep

    @property
    def combine(self):
        return self.add_up


def start(activations, options=AUTO, processes=None):
    return start_trial(select_training(activations, options, processes), options)


def make_quarters():
    """Only the quarters of layer f1 tell the classes apart; those of f0 are noise."""
    plain = make_activations(900, n_kernels=(5, 4))
    noise = torch.rand(900, 9, len(REGIONS), generator=torch.Generator().manual_seed(5))
    clear = torch.nn.functional.one_hot(plain.predictions, 4).float() + 0.1 * noise[:, 5:, 1]
    f1 = torch.cat([noise[:, 5:, :1], clear[:, :, None], noise[:, 5:, 2:]], dim=2)
    norms = {"f0": noise[:, :5].flatten(1), "f1": f1.flatten(1)}
    return replace(plain, norms=norms, settings=replace(plain.settings, grid=2))


def test_held_back_images_change_nothing_that_is_learned():
    images = make_activations(800)
    trial = start(images)
    assert trial.learned.n_images + trial.scored.n_images == 800
    assert 100 < trial.scored.n_images < 220
    ids = [name for part in trial.scored.parts for name in part.read_ids()]
    unseen = torch.tensor([name in ids for name in images.ids])
    assert trial.scored.n_images == unseen.sum()
    changed = {layer: torch.where(unseen[:, None], norms * 1e6, norms) for layer, norms in images.norms.items()}
    options = replace(AUTO, grid=1, weight_options=WeightOptions(4))
    other = start(replace(images, norms=changed))
    assert print_program(other.learn(options)) == print_program(trial.learn(options))
    assert not torch.equal(other.unseen.words, trial.unseen.words)


def test_images_in_another_order_are_held_back_alike():
    images = make_activations(500)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    assert measure_weight_rules(images, ExtractOptions(), approximate_model(images)) == measure_weight_rules(
        images.take(order), ExtractOptions(), approximate_model(images)
    )


def test_many_images_are_sampled(monkeypatch):
    monkeypatch.setattr("eric_fast.training.held_back.TRIAL_IMAGES", 200)
    trial = start(make_activations(800))
    assert TRIAL_IMAGES == 25_000
    assert 120 < trial.learned.n_images + trial.scored.n_images < 280
    assert 0 < trial.scored.n_images < 80


def test_quarters_are_chosen_where_they_help_and_literals_as_few_as_do():
    images = make_quarters()
    found = choose_options(select_training(images, AUTO), AUTO)
    assert found.options.grid == {"f0": 1, "f1": 2}
    assert found.options.weight_options.n_literals in (4, 8, 16, 32)
    grid, literals = found.lines
    assert grid.startswith("grid auto: quarters in f1; right on ")
    assert literals.startswith(f"literals auto: {found.options.weight_options.n_literals}; right on ")
    program = approximate_model(images, AUTO)
    assert dict(program.settings)["grid"] == "quarters in f1"
    assert {atom.layer for atom in program.network_quantiser.atoms if atom.region} == {"f1"}
    assert print_program(program) == print_program(approximate_model(images, found.options))


def test_more_literals_are_chosen_where_they_help():
    """A kernel is a sum of twenty others."""
    generator = torch.Generator().manual_seed(0)
    below = (torch.rand(2000, 20, generator=generator) < 0.5).float()
    above = (below.sum(1, keepdim=True) >= 10).float()
    images = make_activations(2000, n_kernels=(1,), n_classes=2)
    images = replace(images, norms={"f0": below, "f1": above}, predictions=above[:, 0].long())
    options = replace(AUTO, grid=1)
    assert choose_options(select_training(images, options), options).options.weight_options.n_literals == 32


def test_any_number_of_processes_chooses_alike():
    images = make_quarters()
    whole = choose_options(select_training(images, AUTO), AUTO)
    trees = ExtractOptions(layers="all", min_leaf=10)
    program = approximate_model(images, trees)
    beside = measure_weight_rules(images, trees, program)

    def choose(rank, combine):
        processes = Threads(rank, 2, combine)
        mine = choose_options(select_training(images, AUTO, processes), AUTO)
        return mine, measure_weight_rules(images, trees, program, processes)

    assert run_ranks(2, choose) == [(whole, beside)] * 2


def test_what_cannot_be_chosen_stays_as_usual():
    few = make_activations(2, n_kernels=(3, 3), predictions=torch.tensor([0, 1]))
    found = choose_options(select_training(few, AUTO), AUTO)
    assert found.options.grid == {"f0": 1, "f1": 1}
    assert found.options.weight_options.n_literals == 16
    assert all("too few images" in line for line in found.lines)
    assert measure_weight_rules(few, ExtractOptions(), approximate_model(few, min_leaf=1)) is None
    plain = choose_options(select_training(make_activations(), AUTO), AUTO)
    assert "nothing else was captured" in plain.lines[0]
    trees = replace(AUTO, rules="trees")
    assert "no kernel gets weight rules" in choose_options(select_training(make_activations(), trees), trees).lines[1]


@pytest.mark.parametrize("wrong", [{"grid": 3}, {"grid": "both"}, {"grid": {"f0": "auto"}}])
def test_grids_that_mean_nothing_are_refused(wrong):
    with pytest.raises(SettingError, match="is not one of 1, 2, auto"):
        ExtractOptions(**wrong)


def test_plain_extract_ends_with_weight_rules_of_its_size(made, eric, tmp_path):
    arguments = ["extract", made / "train", "--layers", "all", "--target", "label", "-o", tmp_path / "p.lp"]
    code, out, err = eric(*arguments, "--json", tmp_path / "p.json")
    assert code == 0, err
    last = out.splitlines()[-1]
    assert last.startswith("of ")
    assert " training images held back, trees like these keep " in last
    figures = json.loads((tmp_path / "p.json").read_text())["weight_rules"]
    assert figures["n_images"] + 20 < 600
    command = shlex.split(last[last.index(" extract ") :])
    code, out, err = eric(*command)
    assert code == 0, err
    program = load_program(tmp_path / "p_weights.lp")
    assert len(program.class_rules) == figures["n_votes"] * len(program.layers)
    assert dict(program.settings)["target"] == "label"
    assert "held back" not in out  # what isn't grown as trees stands alone


def test_auto_from_the_command_line(made, eric, refuse, tmp_path):
    arguments = ["extract", made / "train", "--layers", "all", "--rules", "weights", "--n-votes", "9"]
    code, out, err = eric(*arguments, "--literals", "auto", "--grid", "auto", "-o", tmp_path / "w.lp")
    assert code == 0, err
    assert [line.split(":")[0] for line in out.splitlines()[-2:]] == ["grid auto", "literals auto"]
    assert dict(load_program(tmp_path / "w.lp").settings)["literals"] in ("4", "8", "16", "32")
    assert "number of literals" in refuse(*arguments, "--literals", "few", "-o", tmp_path / "x.lp")
    assert "grid 'x' is not one of 1, 2, auto" in refuse(*arguments, "--grid", "x", "-o", tmp_path / "x.lp")
