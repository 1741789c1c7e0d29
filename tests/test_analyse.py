"""Analyses against truths that are known: planted ones, brute force, and shuffled classes, where there is nothing."""

import json
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from scipy.stats import false_discovery_control, hypergeom

from eric_fast.analyse import (
    analyse_bits,
    analyse_program,
    find_strongest,
    list_symbols,
    measure_coactivation,
    measure_subclasses,
    pack_classes,
)
from eric_fast.analyse.distances import RandomSets, Space
from eric_fast.analyse.symbolic import adjust_selectivity
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, EricError, SettingError
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model
from eric_fast.store import Manifest, Samples, Thresholds, open_capture, save_activations, write_capture
from tests.make_planted import BLACK, DEAD, KEY, OPPOSITES, TABBY, TWINS, make_planted

N_IMAGES = 2000


def extract_planted(**options):
    return approximate_model(make_planted(N_IMAGES, 1, **options)[0], threshold="mean", min_leaf=50)


@pytest.fixture(scope="module")
def planted():
    test, subclass = make_planted(N_IMAGES, 2)
    program = extract_planted()
    return program, test, subclass, analyse_program(program, test)


@pytest.fixture(scope="module")
def shuffled():
    test, _ = make_planted(N_IMAGES, 2, shuffled=True)
    return analyse_program(extract_planted(shuffled=True), test)


def name(*kernels):
    return [f"f:{kernel}" for kernel in kernels]


def test_planted_key_kernels_are_found(planted):
    *_, analysis = planted
    assert {row.name for row in analysis.effects.list_key()} == set(name(*KEY))
    assert {row.name for row in analysis.effects.rank()[:2]} == set(name(*KEY))
    assert analysis.effects.now.fidelity == 1


def test_planted_pairs_are_found(planted):
    *_, analysis = planted
    pairs = analysis.coactivation["f"]
    assert [[pair.first, pair.second] for pair in pairs.list_redundant()] == [name(*TWINS)]
    assert [[pair.first, pair.second, pair.phi] for pair in pairs.list_complementary()] == [[*name(*OPPOSITES), -1]]
    assert pairs.list_never_true() == name(DEAD)
    assert pairs.list_always_true() == []


@pytest.mark.parametrize("space", ["norms", "bits"])
def test_planted_subclasses_are_found(planted, space):
    program, test, subclass, analysis = planted
    found = analysis.subclasses
    if space == "bits":  # all that a capture of bits knows
        bits = quantise_activations(test, program.quantiser)
        found = measure_subclasses(program, bits, test.predictions)
    assert found.space == space
    sets = [found.find_images(row.rule) for row in found.list_found()]
    expected = [(subclass == number).nonzero().flatten().tolist() for number in (0, 1)]
    assert sorted(sets) == sorted(expected)
    for row in found.list_found():
        assert row.purity == 1
        assert row.share_of_class == 0.5
        assert row.cohesion > 0.1
        assert row.effect > 5
    (large,) = (row for row in found.rows if row == found.list_found()[0])
    assert not replace(large, n_of_class=large.n_of_class + 1).is_found()  # more than half of its class
    assert not replace(large, cohesion=0.09).is_found()  # however significant
    dogs = found.of_class(1)
    assert [row.p_value for row in dogs] == [1]  # one rule covers all of them: there is no rest to be distinct from
    assert dogs[0].cohesion is None


def test_planted_kernels_stand_for_their_subclass(planted):
    _, _, subclass, analysis = planted
    symbols = analysis.list_rule_symbols()
    of_rule = {}
    for symbol in symbols:
        of_rule.setdefault(symbol.stands_for, set()).add(symbol.atom)
    assert sorted(of_rule.values(), key=sorted) == [set(name(KEY[0], *TABBY)), set(name(KEY[1], *BLACK))]
    assert symbols[0].phi == symbols[0].precision == symbols[0].recall == 1
    assert {s.atom for s in analysis.list_class_symbols() if s.stands_for == "cat"} == set(name(*KEY, *TABBY, *BLACK))
    strongest = analysis.strongest["f"]
    assert (subclass[strongest[KEY[0]]] == 0).all()
    assert (subclass[strongest[KEY[1]]] == 1).all()


def test_shuffled_classes_show_nothing(shuffled):
    assert len(shuffled.program.class_rules) > 5  # trees find rules in noise, which tests must see through
    assert shuffled.effects.list_key() == []
    assert shuffled.subclasses.list_found() == []
    assert shuffled.list_class_symbols() == []
    assert shuffled.list_rule_symbols() == []


def test_all_is_json(planted):
    *_, analysis = planted
    content = json.loads(json.dumps(analysis.to_dict(), allow_nan=False))
    assert {*content["key_kernels"]} == set(name(*KEY))
    assert len(content["kernels"]) == 16
    by_class = next(row for row in content["kernels"] if row["name"] == f"f:{KEY[0]}")["by_class"]
    assert [row["class"] for row in by_class] == ["cat", "dog"]
    assert by_class[0]["agrees_when_false"] < by_class[0]["agrees"]
    assert sum(link["class"] == "cat" for link in content["links"]) == 2


def test_bits_alone_are_enough(planted):
    program, test, _, whole = planted
    bits = quantise_activations(test, program.quantiser)
    analysis = analyse_bits(program, bits, test.predictions)
    assert analysis.strongest == {}
    assert analysis.effects.now.accuracy is None
    assert (analysis.effects.agrees == whole.effects.agrees).all()


def save_bits(activations, quantiser, path):
    """A capture of bits alone."""
    bits = quantise_activations(activations, quantiser)
    manifest = Manifest(
        layers={layer: norms.shape[1] for layer, norms in activations.norms.items()},
        classes=activations.classes,
        settings=activations.settings,
        store="bits",
        n_listed=activations.n_images,
        thresholds=Thresholds(quantiser, "planted"),
    )
    with write_capture(path, manifest) as writer:
        samples = Samples(activations.ids, activations.labels, activations.predictions, words={"f": bits.words})
        writer.write_shard(0, samples)
        return writer.finish()


def test_captures_of_norms_and_of_bits(planted, tmp_path):
    program, test, _, whole = planted
    save_activations(test, tmp_path / "norms")
    assert analyse_program(program, open_capture(tmp_path / "norms")).to_dict() == whole.to_dict()
    packed = save_bits(test, program.quantiser, tmp_path / "bits")
    content, expected = analyse_program(program, packed).to_dict(), whole.to_dict()
    assert content["subclass_test"]["space"] == "bits"
    for name in ("kernels", "key_kernels", "links", "relations", "class_symbols", "rule_symbols", "accuracy"):
        assert content[name] == expected[name]
    first = program.quantiser.atoms[0]
    moved = Quantiser((replace(first, constant=9.5), *program.quantiser.atoms[1:]))
    other = save_bits(test, moved, tmp_path / "other")
    with pytest.raises(CaptureError, match=r"none of its bits is 'f:0 > .* as in the program"):
        analyse_program(program, other)
    with pytest.raises(CaptureError, match="another model"):
        analyse_program(replace(program, fingerprint="other"), packed)


def test_seeds_and_engines_give_the_same(planted):
    program, test, _, analysis = planted
    again = analyse_program(program, test, engine="reference")
    assert again.to_dict() == analysis.to_dict()
    other = analyse_program(program, test, seed=1, n_permutations=99)
    assert {row.p_cohesive for row in other.subclasses.list_found()} == {0.01}


def test_overlapping_rules_share_images():
    atoms = tuple(InputAtom("f", k, ">", 0.5) for k in range(3))
    rules = (ClassRule(0, (0,)), ClassRule(0, (1,)), ClassRule(1, (2,)), ClassRule(0, (0, 1, 2)))
    bits = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    for decision in ("first", "vote"):
        program = Program(Quantiser(atoms), ("a", "b"), rules, decision=decision)
        packed = BitMatrix.from_bools(bits, [atom.name for atom in atoms])
        model = torch.tensor([0, 0, 1, 1, 0, 1])
        found = measure_subclasses(program, packed, model, min_images=2, n_permutations=9)
        assert [row.rule for row in found.rows] == [0, 1, 2]
        assert found.n_left_out == 1
        shared = found.count_shared(0)
        assert shared[0, 1] == shared[1, 0] == 2
        assert found.find_images(0) == [0, 1, 4]
        assert found.find_images(3) == []
        assert found.of_rule(3) is None
        # rule 3 fires on the third image too, which an earlier rule (or as many votes, lower) gives class a
        assert found.find_images(2) == [3]
        assert found.of_rule(2).n_fires == 4
        assert found.of_rule(2).purity == 1


def test_images_are_grouped_by_the_points_that_decide():
    atoms = tuple(InputAtom("f", k, ">", 0.5) for k in range(3))
    rules = (
        ClassRule(0, (0,), weight=5, also=((1, -1), (2, 4))),
        ClassRule(1, (1,), weight=2),
        ClassRule(0, (1,), weight=-2),  # with the rule before it, 4 for b against a
        ClassRule(1, (~2,), weight=3, also=((2, 3),)),
        ClassRule(2, (), weight=1),
    )
    program = Program(Quantiser(atoms), ("a", "b", "c"), rules, decision="vote")
    bits = torch.tensor(list(product((0, 1), repeat=3)), dtype=torch.bool).repeat(2, 1)
    packed = BitMatrix.from_bools(bits, [atom.name for atom in atoms])
    model = torch.arange(16) % 3
    found = measure_subclasses(program, packed, model, min_images=2, n_permutations=9)
    groups = {row.name: image for row, image in zip(found.rows, found.covered.to_bools().T.tolist(), strict=True)}
    groups = {name: [i for i, is_in in enumerate(images) if is_in] for name, images in groups.items()}
    points = torch.tensor([[5, -1, 4], [-2, 2, 0], [0, 3, 3]])
    expected = {}
    for number, row in enumerate(bits.tolist()):
        fired = [row[0], row[1], not row[2]]
        sums = sum((points[k] for k in range(3) if fired[k]), torch.tensor([0, 0, 1]))
        answer = int(sums.argmax())
        rival = max((c for c in range(3) if c != answer), key=lambda c: (int(sums[c]), -c))
        leads = [int(points[k][answer] - points[k][rival]) if fired[k] else 0 for k in range(3)]
        if max(leads) > 0:  # else what it began with decides
            rule = (0, 1, 3)[leads.index(max(leads))]
            expected.setdefault(f"rule {rule + 1} for {'abc'[answer]}", []).append(number)
    assert groups == expected
    assert len(groups) >= 3
    row = next(row for row in found.rows if row.name == "rule 2 for b")
    assert (row.rule, row.class_index, row.n_fires) == (1, 1, 8)
    fewer = measure_subclasses(program, packed, model, min_images=3, n_permutations=9)
    assert fewer.n_left_out == len(found.rows) - len(fewer.rows) > 0


@pytest.mark.parametrize("kept", [[0, 2], [0, *range(2, 11)]], ids=["fewer axes than points", "more"])
def test_distances_are_those_of_all_pairs(kept):
    points = 3 + np.random.default_rng(0).normal(size=(7, 11))
    members = np.array([True, False, True, True, False, False, False])
    kept = np.array(kept)
    chance = RandomSets(points, 2000, (0,)).compare(members, kept)

    def measure(chosen):
        inside = points[list(chosen)][:, kept]
        rest = points[[i for i in range(7) if i not in chosen]][:, kept]
        pairs = [((a - b) ** 2).sum() for a, b in combinations(inside, 2)]
        return np.mean(pairs), ((inside.mean(axis=0) - rest.mean(axis=0)) ** 2).sum()

    whole = np.mean([((a - b) ** 2).sum() for a, b in combinations(points[:, kept], 2)])
    near, apart = measure((0, 2, 3))
    assert chance.cohesion == pytest.approx(1 - near / whole)
    assert chance.distinctness == pytest.approx(apart / whole)
    every = [measure(chosen) for chosen in combinations(range(7), 3)]
    assert chance.p_cohesive == pytest.approx(np.mean([n <= near + 1e-12 for n, _ in every]), abs=0.04)
    assert chance.p_distinct == pytest.approx(np.mean([a >= apart - 1e-12 for _, a in every]), abs=0.04)
    assert RandomSets(points, 9, (0,)).compare(np.ones(7, bool), kept).cohesion is None
    assert RandomSets(np.zeros((7, 11)), 9, (0,)).compare(members, kept).p_cohesive == 1


def test_space_is_scaled_and_leaves_out_what_a_rule_mentions():
    atoms = (InputAtom("f", 2, ">", 0.5), InputAtom("f", 0, ">", 0.5))
    program = Program(Quantiser(atoms), ("a",), ())
    bits = BitMatrix.from_bools(torch.ones(50, 2, dtype=torch.bool), [atom.name for atom in atoms])
    norms = torch.rand(50, 70, generator=torch.Generator().manual_seed(0)) * torch.arange(70)
    space = Space.of_layer(program, bits, norms)  # the first kernel never changes
    points = space.place(torch.arange(50))
    assert points.mean(axis=0) == pytest.approx(0)
    assert points.std(axis=0)[1:] == pytest.approx(1)
    assert space.leave_out([0]).tolist() == [1, *range(3, 70)]
    assert space.leave_out([1]).tolist() == list(range(1, 70))
    with pytest.raises(CaptureError, match="the norms of .* must be"):
        Space.of_layer(program, bits, norms[:, :2])


def test_a_quarter_stands_for_its_kernel_where_distances_leave_it_out():
    atoms = (InputAtom("f", 2, ">", 0.5), InputAtom("f", 2, ">", 0.5, "upper-left"), InputAtom("f", 0, ">", 0.5))
    program = Program(Quantiser(atoms), ("a",), ())
    generator = torch.Generator().manual_seed(0)
    bits = BitMatrix.from_bools(torch.rand(50, 3, generator=generator) < 0.5, [atom.name for atom in atoms])
    of_bits, of_norms = (Space.of_layer(program, bits, norms) for norms in (None, torch.rand(50, 4)))
    assert of_bits.leave_out([1]).tolist() == of_bits.leave_out([0]).tolist() == [2]
    assert of_norms.leave_out([1]).tolist() == [0, 1, 3]


def test_coactivation_is_that_of_numpy():
    generator = torch.Generator().manual_seed(3)
    bits = torch.rand(77, 6, generator=generator) < 0.4
    bits[:, 4], bits[:, 5] = False, True
    packed = BitMatrix.from_bools(bits, [f"k{i}" for i in range(6)])
    others = packed.select_atoms(["k2", "k0"])
    found = measure_coactivation(packed, others)
    numbers = bits.double().numpy()
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(numbers.T)[:, [2, 0]]
    assert found.phi() == pytest.approx(correlation, nan_ok=True)
    assert np.isnan(found.phi()[4:]).all()
    share = numbers.mean(axis=0)
    with np.errstate(invalid="ignore"):
        lift = (numbers.T @ numbers / 77 / np.outer(share, share))[:, [2, 0]]
    assert found.lift() == pytest.approx(lift, nan_ok=True)
    assert (found.differing() == (bits[:, :, None] != bits[:, None, [2, 0]]).sum(dim=0).numpy()).all()
    assert found.list_never_true() == ["k4"]
    assert found.list_always_true() == ["k5"]
    with pytest.raises(SettingError, match="it must be above 0 and at most 1"):
        found.list_redundant(0)
    with pytest.raises(EricError, match="can't be compared"):
        measure_coactivation(packed, BitMatrix.from_bools(bits[:5], packed.atoms))


def test_strongest_images_come_in_order():
    norms = torch.tensor([[0.5, 1.0], [2.0, 1.0], [0.5, 3.0], [0.5, 1.0]])
    assert find_strongest(norms, 3).tolist() == [[1, 0, 2], [2, 0, 1]]
    assert find_strongest(norms, 9).shape == (2, 4)
    assert find_strongest(norms[:0]).shape == (2, 0)


def test_classes_without_images_stand_for_nothing():
    bits = BitMatrix.from_bools(torch.tensor([[True], [False], [True]]), ["k"])
    found = measure_coactivation(bits, pack_classes(torch.tensor([0, -1, 0]), ["a", "b"]))
    assert list_symbols(found, alpha=1.1)[0].stands_for == "a"
    assert list_symbols(found.select_columns(["b"]), alpha=1.1) == []
    assert list_symbols(found.select_columns([]), alpha=1.1) == []


@pytest.mark.parametrize("alpha", [0.01, 0.05, 1.1])
def test_p_values_below_alpha_are_those_of_all_pairs(alpha):
    """Against SciPy on every pair: what is left out changes no adjusted value that is below alpha."""
    generator = np.random.default_rng(0)
    classes = generator.integers(5, size=300)
    bits = generator.random((300, 30)) < np.where(classes[:, None] == np.arange(30) % 9, 0.45, 0.25)
    names = [f"k{number}" for number in range(30)]
    found = measure_coactivation(
        BitMatrix.from_bools(torch.from_numpy(bits), names), pack_classes(torch.from_numpy(classes), list("abcdef"))
    )
    of_class = np.stack([classes == number for number in range(6)])  # nothing is of the last one
    together = (bits.T[:, None] & of_class).sum(axis=2)
    p_values = hypergeom.sf(together - 1, 300, bits.sum(axis=0)[:, None], of_class.sum(axis=1))
    expected = false_discovery_control(p_values, axis=None).reshape(p_values.shape)
    adjusted = adjust_selectivity(found, alpha)
    is_below = expected < alpha
    assert 0 < is_below.sum() < is_below.size or alpha > 1
    assert ((adjusted < alpha) == is_below).all()
    assert (adjusted[is_below] == expected[is_below]).all()


def test_only_precise_kernels_stand_for_a_class():
    classes = torch.arange(30) // 10
    broad = torch.cat([torch.ones(26), torch.zeros(4)]).bool()
    bits = torch.stack([classes == 2, broad], dim=1)
    found = measure_coactivation(BitMatrix.from_bools(bits, ["exact", "broad"]), pack_classes(classes, ["a", "b", "c"]))
    exact, other = list_symbols(found, alpha=1.1)
    assert (exact.atom, exact.is_precise, exact.describe()) == ("exact", True, "stands for c")
    assert not other.is_precise
    assert other.describe() == "true for a, b (100 %, 100 %)"
    assert other.to_dict()["true_for"] == {"a": 1.0, "b": 1.0}
    assert replace(exact, precision=0.69).describe() == "true for c (100 %)"
    assert not replace(exact, lift=1.0).is_precise


def test_the_effect_is_in_deviations_of_random_sets(planted):
    """Against sets drawn here: distances of all pairs, one by one."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(40, 3))
    members = np.zeros(40, np.bool_)
    members[np.argsort(np.abs(points).sum(axis=1))[:10]] = True

    def spread(chosen):
        pairs = [((a - b) ** 2).sum() for i, a in enumerate(chosen) for b in chosen[:i]]
        return sum(pairs) / len(pairs)

    draws = [spread(points[generator.choice(40, 10, replace=False)]) for _ in range(400)]
    expected = (np.mean(draws) - spread(points[members])) / np.std(draws)
    chance = RandomSets(points, 999, (0, 0)).compare(members, np.arange(3))
    assert chance.effect == pytest.approx(expected, rel=0.15)
    assert chance.effect > 2


def test_what_makes_no_sense_is_refused(planted):
    program, test, _, _ = planted
    with pytest.raises(CaptureError, match="no images"):
        analyse_program(program, test.take(torch.arange(0)))
    with pytest.raises(SettingError, match="number of permutations must be at least 1"):
        analyse_program(program, test, n_permutations=0)
    with pytest.raises(CaptureError, match="another model"):
        analyse_program(replace(program, fingerprint="other"), test)
