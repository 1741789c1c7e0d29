"""Layers as a graph: cuts, programs over joins and skips, their text, and what they learn from."""

import json
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.bits import BitMatrix
from eric_fast.chains import measure_chains
from eric_fast.errors import CaptureError, ProgramError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.explain.check import find_fault
from eric_fast.explain.proof import prove_answers
from eric_fast.extract.votes import learn_votes
from eric_fast.module import RuleModule
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.layer_graph import FROM_IMAGES, TO_CLASSES, LayerGraph
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program
from eric_fast.store import MANIFEST, load_activations, open_capture, save_activations
from eric_fast.text import load_program, parse_program, print_program
from tests.activations import make_activations
from tests.examples import try_examples
from tests.oracles import interpret, run_clingo

# stem feeds two branches, which a join meets; a skip leads from the stem past them
EDGES = (("stem", "wide"), ("stem", "slim"), ("stem", "join"), ("wide", "join"), ("slim", "join"), ("join", TO_CLASSES))
LAYERS = ("stem", "wide", "slim", "join")


def draw_graph(seed: int) -> LayerGraph:
    """Any graph whose layers all lead to the classes; images reach some of them past the others."""
    random = Random(seed)
    layers = [f"l{i}" for i in range(random.randint(1, 7))]
    edges = {(a, b) for a, b in combinations(layers, 2) if random.random() < 0.35}
    edges |= {(FROM_IMAGES, name) for name in layers if random.random() < 0.15}
    edges |= {(name, TO_CLASSES) for name in layers if random.random() < 0.15 or not any(a == name for a, _ in edges)}
    return LayerGraph.from_edges(layers, sorted(edges))


def list_paths(graph: LayerGraph) -> list[tuple[str, ...]]:
    """All paths from images to classes, by their layers."""

    def extend(path: tuple[str, ...], target: str) -> list[tuple[str, ...]]:
        found = [path] if target and (target in graph.partial or not graph.sources[target]) else []
        return found + [more for source in graph.sources[target] for more in extend((source, *path), source)]

    return extend((), TO_CLASSES)


@try_examples(60)
@given(st.integers(0, 2**32))
def test_a_start_is_crossed_by_every_path(seed):
    graph = draw_graph(seed).select(draw_graph(seed).layers)
    paths = list_paths(graph)
    for cut in graph.list_cuts():
        assert all(set(cut).intersection(path) for path in paths)
        assert graph.find_start(cut) == cut == graph.find_start(",".join(cut))
        for layer in cut:  # from each a path leads on without the others
            rest = set(cut) - {layer}
            assert any(layer in path and rest.isdisjoint(path[path.index(layer) :]) for path in paths)
        known = {*cut, *graph.list_above(cut)}
        assert set(graph.highest) <= known
        own = graph.take_above(cut)
        assert own.lowest == cut
        assert set(own.layers) == known
        assert own.select(own.layers) == own  # so each leads to the classes
    assert graph.list_cuts()[0] == graph.lowest
    for layer in graph.layers:
        assert layer in graph.find_start(layer)
    random = Random(seed)
    some = [layer for layer in graph.layers if random.random() < 0.5]
    avoids = [path for path in paths if set(some).isdisjoint(path)]
    assert (graph.find_path(some) is None) == (not avoids)
    if avoids:
        assert graph.find_path(some) in avoids
        with pytest.raises(ProgramError, match="avoids"):
            graph.find_start(some)


@try_examples(60)
@given(st.integers(0, 2**32))
def test_some_layers_feed_each_other_by_the_paths_between_them(seed):
    graph, random = draw_graph(seed), Random(seed + 1)
    kept = [layer for layer in graph.layers if random.random() < 0.6]
    found = graph.restrict(kept)
    short = {tuple(layer for layer in path if layer in kept) for path in list_paths(graph)}
    expected = {pair for path in short for pair in zip((FROM_IMAGES, *path), (*path, TO_CLASSES), strict=True)}
    sources = {target: {a for a, b in expected if b == target} for target in (*kept, TO_CLASSES)}
    assert {t: set(own) for t, own in found.sources.items()} == {t: own - {FROM_IMAGES} for t, own in sources.items()}
    assert found.partial == {t for t, own in sources.items() if t and FROM_IMAGES in own and len(own) > 1}
    for _ in range(8):
        avoided = [layer for layer in graph.layers if random.random() < 0.6]
        crossed = all(not set(avoided).isdisjoint(path) for path in list_paths(graph))
        assert (graph.find_path(avoided) is None) == crossed
    chosen = graph.select(kept)
    for target in chosen.layers:  # images reach none of those that have sources
        assert set(chosen.sources[target]) == (set() if FROM_IMAGES in sources[target] else sources[target])


def make_program(**changes) -> Program:
    atoms = [InputAtom(layer, kernel, ">", 1.0) for layer in LAYERS for kernel in range(2)]
    content = {
        "quantiser": Quantiser(tuple(atoms)),
        "classes": ("cat", "dog"),
        "class_rules": (ClassRule(0, (6, ~7)), ClassRule(1, (7,))),
        "kernel_rules": (
            *(Rule(2, (0,)), Rule(3, (~0, 1)), Rule(4, (~1,)), Rule(5, (0, 1))),
            *(Rule(6, (2, ~5)), Rule(6, (1,)), Rule(7, (4,)), Rule(7, (3, 5, ~0))),
        ),
        "edges": EDGES,
    }
    return Program(**{**content, **changes})


def list_inputs(n: int) -> list[set[int]]:
    return [{atom for atom in range(n) if case >> atom & 1} for case in range(1 << n)]


def test_a_program_over_a_graph_means_what_clingo_answers_from_every_start():
    program = make_program()
    assert parse_program(print_program(program)) == program
    for start, layers in (("wide", ("stem", "wide", "slim")), ("stem", ("stem",)), ("join", ("join",))):
        part = program.start_at(start)
        assert part.graph.lowest == layers
        assert program.layer_to_start(start) == ",".join(layers)
        cases = list_inputs(part.n_given)
        expected = [interpret(part, case) for case in cases]
        assert [({part.classes[a]} if a >= 0 else set(), f, t) for a, f, t in expected] == run_clingo(part, cases)
        names = [atom.name for atom in part.atoms[: part.n_given]]
        rows = torch.tensor([[atom in case for atom in range(len(names))] for case in cases])
        bits = BitMatrix.from_bools(rows, names)
        for evaluator in (Evaluator(part), Evaluator(program, start)):
            assert evaluator.classes(bits).tolist() == [answer for answer, _, _ in expected]
        for proof, case in zip(prove_answers(program, bits, start), cases, strict=True):
            given = {program.atom_named(part.atoms[atom].name) for atom in case}
            assert find_fault(program, given, proof) is None
        assert parse_program(print_program(part)) == part


@try_examples(12)
@given(st.integers(0, 2**32))
def test_programs_over_any_graph_answer_the_same_from_every_start(seed):
    graph, random = draw_graph(seed).select(draw_graph(seed).layers), Random(seed)
    place = {layer: number for number, layer in enumerate(graph.layers)}

    def draw_body(target: str) -> tuple[int, ...]:
        return tuple(random.choice((place[source], ~place[source])) for source in graph.sources[target])

    program = Program(
        Quantiser(tuple(InputAtom(layer, 0, ">", 1.0) for layer in graph.layers)),
        ("cat", "dog"),
        (ClassRule(0, draw_body(TO_CLASSES)), ClassRule(1, draw_body(TO_CLASSES))),
        tuple(Rule(place[layer], draw_body(layer)) for layer in graph.layers if graph.sources[layer] for _ in "ab"),
        edges=graph.edges,
    )
    assert program.graph == graph
    assert parse_program(print_program(program)) == program
    for start in program.list_starts():
        part = program.start_at(start)
        assert part.start_at() == part == parse_program(print_program(part))
        cases = list_inputs(part.n_given)
        expected = [answer for answer, _, _ in (interpret(part, case) for case in cases)]
        rows = torch.tensor([[atom in case for atom in range(part.n_given)] for case in cases])
        bits = BitMatrix.from_bools(rows, [atom.name for atom in part.atoms[: part.n_given]])
        assert Evaluator(program, start).classes(bits).tolist() == expected


def test_a_layer_that_is_read_below_a_start_alone_goes():
    train = make_residual()
    skipping = (("stem", "wide"), ("wide", "join"), ("stem", TO_CLASSES), ("join", TO_CLASSES))
    train = replace(train, norms={name: train.norms[name] for name in ("stem", "wide", "join")}, edges=skipping)
    for rules in ("trees", "weights", "fold"):
        program = approximate_model(train, layers="all", rules=rules, all_kernels=True, min_leaf=3)
        assert len(program.exception_atoms) == len(program.derived)  # each is mentioned, and once
        assert program.list_starts() == ["stem", "stem,wide", "stem,join"]
        part = program.start_at("join")
        assert part.layers == ("stem", "join")
        assert not any(part.atoms[rule.head].layer for rule in part.kernel_rules)  # exceptions to class rules alone
        assert evaluate_program(part, train) == evaluate_program(program, train, start="join")
    assert measure_chains(train, train, min_leaves=[5]).starts == ("stem", "stem,wide", "stem,join")


def test_a_start_on_both_sides_of_a_layer_that_follows_from_it():
    edges = (("stem", "wide"), ("stem", "slim"), ("wide", TO_CLASSES), ("slim", TO_CLASSES))
    program = make_program(
        quantiser=Quantiser(tuple(InputAtom(layer, 0, ">", 1.0) for layer in ("stem", "wide", "slim"))),
        class_rules=(ClassRule(0, (1, ~2)), ClassRule(1, (2,))),
        kernel_rules=(Rule(1, (0,)), Rule(2, (~0,))),
        edges=edges,
    )
    part = program.start_at("stem,slim")
    assert part.layers == ("stem", "slim", "wide")
    assert part.class_rules == (ClassRule(0, (2, ~1)), ClassRule(1, (1,)))
    assert part.kernel_rules == (Rule(2, (0,)),)


def test_a_straight_pipe_prints_as_before():
    program = make_program(kernel_rules=(), edges=())
    spelled = make_program(kernel_rules=(), edges=[*zip(LAYERS, (*LAYERS[1:], TO_CLASSES), strict=True)])
    assert spelled == program
    assert "feeds" not in print_program(program)
    assert print_program(program).split("\n")[1] == "format(1)."


def test_a_text_of_format_1_has_no_edges():
    atoms = tuple(InputAtom(layer, 0, ">", 0.5) for layer in ("a", "b"))
    edges = (("a", TO_CLASSES), ("b", TO_CLASSES))
    program = Program(Quantiser(atoms), ("x", "y"), (ClassRule(0, (0, 1)),), edges=edges)
    text = print_program(program)
    assert parse_program(text) == program
    with pytest.raises(ProgramError, match=r"^p\.lp:2:1: the program needs format 2; write format\(2\)"):
        parse_program(text.replace("format(2)", "format(1)"), "p.lp")
    assert print_program(make_program()).split("\n")[1] == "format(2)."


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('feeds("wide","join").', 'feeds("wide","jion").', r"no layer 'jion'; did you mean 'join'\?"),
        ('feeds("wide","join").', 'feeds("join","wide").', "'join' can't feed 'wide', whose kernels stand before"),
        ('feeds("wide","join").', "", "layer 'wide' feeds neither a layer nor the classes"),
        (
            'feeds("stem","join").',
            "",
            "a rule for join:0 mentions a kernel of 'stem', but 'join' is fed by 'wide' and 'slim' alone; remove",
        ),
        ('feeds("wide","join").', 'feeds("wide","wide").', "layer 'wide' can't feed itself"),
        ('feeds("wide","join").', 'feeds("wide","").', "a layer that is fed needs a name; if the classes are meant"),
        ('feeds("wide","join").', 'feeds("","join").', "the program has no layer ''"),
        ('feeds_classes("join").', 'feeds_classes("wde").', "no layer 'wde'; did you mean 'wide'"),
        ('feeds("stem","slim").', "", "no layer feeds 'slim', so its kernels must stand before those of 'wide'"),
    ],
)
def test_edges_that_mean_nothing_are_refused_where_they_stand(old, new, message):
    text = print_program(make_program())
    assert old in text
    with pytest.raises(ProgramError, match=message) as caught:
        parse_program(text.replace(old, new), "p.lp")
    assert str(caught.value).startswith("p.lp:")
    found = str(caught.value).split(":")[1]
    if new:
        assert found == str(text[: text.find(old)].count("\n") + 1)
    elif "rule for join:0" in message:
        assert found == str(text[: text.find("k_join_0(X) :-")].count("\n") + 1)


def test_starts_that_are_no_cut_are_refused_with_a_path():
    program = make_program()
    with pytest.raises(ProgramError, match="'wide': the path images -> stem -> join -> classes avoids it"):
        program.layer_to_start(["wide"])
    with pytest.raises(ProgramError, match="the path images -> stem -> join -> classes avoids them; start at 'stem,wi"):
        program.layer_to_start("wide,slim")
    assert program.layer_to_start("join,stem,wide") == "join"
    with pytest.raises(ProgramError, match="no layer 'wid'; did you mean 'wide'"):
        program.layer_to_start("wid")
    with pytest.raises(ProgramError, match="write the start 'wide,join' as 'join'"):
        make_program(starts=(("stem",), ("wide", "join")), decision="vote")
    with pytest.raises(ProgramError, match="write the start 'wide,stem,slim' as 'stem,wide,slim'"):
        make_program(starts=(("stem",), ("wide", "stem", "slim")), decision="vote")


def test_starts_are_named_as_they_are_read_back():
    layers = ("a", "a,b", "c", "b, c")
    edges = [("a", "a,b"), ("a", "c"), ("a", "b, c"), ("a,b", "b, c"), ("c", "b, c"), ("b, c", TO_CLASSES)]
    atoms = tuple(InputAtom(layer, 0, ">", 1.0) for layer in layers)
    rules = tuple(ClassRule(0, (3,), start=start) for start in range(3))
    starts = (("a",), ("a", "a,b", "c"), ("b, c",))
    program = Program(Quantiser(atoms), ("cat",), rules, decision="vote", edges=edges, starts=starts)
    assert [program.graph.find_start(start) for start in program.list_starts()] == list(starts)
    assert program.list_rules()["start"].tolist() == program.list_starts() == ["a", "a,a,b,c", "b, c"]
    assert program.graph.find_start(" a,a,b, c ") == starts[1]
    bits = BitMatrix.from_bools(torch.tensor([[True, False, True]]), ["a:0", "a,b:0", "c:0"])
    (proof,) = prove_answers(replace(program, class_rules=()), bits, starts[1])
    assert find_fault(replace(program, class_rules=()), {0, 2}, proof) is None


def make_residual(n_images: int = 300, seed: int = 0):
    """Norms of the layers of `EDGES`: those of each follow those that feed it."""
    flat = make_activations(n_images, (6, 5, 4, 6), seed=seed)
    norms = dict(zip(LAYERS, flat.norms.values(), strict=True))
    generator = torch.Generator().manual_seed(1)

    def follow(sources, n):
        values = torch.cat([norms[source] for source in sources], 1)
        return (values @ torch.randn(values.shape[1], n, generator=generator)).abs()

    norms |= {"wide": follow(["stem"], 5), "slim": follow(["stem"], 4)}
    norms["join"] = follow(["stem", "wide", "slim"], 6)
    sums = norms["join"] @ torch.randn(6, 3, generator=generator)
    predictions = (sums - sums.mean(0)).argmax(1)
    return replace(flat, norms=norms, predictions=predictions, edges=EDGES)


@pytest.mark.parametrize(
    ("rules", "grown_on"),
    [("trees", "true"), ("trees", "predicted"), ("fold", "true"), ("fold", "predicted"), ("weights", "both")],
)
def test_rules_draw_on_all_layers_that_feed_theirs(rules, grown_on):
    train = make_residual()
    program = approximate_model(train, layers="all", rules=rules, grown_on=grown_on, all_kernels=True, min_leaf=3)
    assert program.edges == EDGES
    drawn: dict[str, set[str]] = {}
    for rule in program.kernel_rules:
        layers = {program.atoms[atom_of(literal)].layer for literal in rule.body} - {""}
        drawn.setdefault(program.atoms[rule.head].layer, set()).update(layers)
    assert drawn["wide"] == drawn["slim"] == {"stem"}
    assert drawn["join"] == {"stem", "wide", "slim"}
    assert {program.atoms[atom_of(lit)].layer for rule in program.class_rules for lit in rule.body} - {""} == {"join"}
    assert parse_program(print_program(program)) == program
    scores = evaluate_chains(program, train)
    assert [score.start_layer for score in scores] == ["stem", "stem,wide,slim", "join"]
    for score in scores:
        part = program.start_at(score.start_layer)
        assert evaluate_program(part, train) == score
    if rules == "weights":
        assert program.starts == (("stem",), ("stem", "wide", "slim"), ("join",))
        with pytest.raises(ProgramError, match="needs one at its lowest layer, 'stem'"):
            replace(program, starts=program.starts[2:], start_bases=program.start_bases[2:], class_rules=())


def test_votes_of_a_start_are_fitted_to_what_the_rules_predict_from_it():
    train = make_residual()
    program = approximate_model(train, layers="all", rules="weights")
    bits = quantise_activations(train, program.network_quantiser)
    for index, cut in enumerate(program.starts):
        names = [name for layer in program.graph.highest for name in program.quantiser.names_of_layer[layer]]
        predicted = Evaluator(program, cut).truth(bits, names)
        first = program.list_given("join")[0]
        votes = learn_votes(predicted, first, train.predictions, 3, 100)
        own = tuple(replace(rule, start=None) for rule in program.class_rules if rule.start == index)
        assert own == tuple(votes.rules)


def test_the_default_layers_are_those_that_feed_the_classes():
    train = make_residual()
    assert approximate_model(train, min_leaf=5).layers == ("join",)
    branches = train.select_layers(["wide", "slim"])
    assert branches.edges == (("wide", TO_CLASSES), ("slim", TO_CLASSES))
    program = approximate_model(branches, min_leaf=5)
    assert program.layers == ("wide", "slim")
    assert program.layer_to_start() == "wide,slim"
    chain = approximate_model(train, layers=["stem", "join"], min_leaf=5)
    assert (chain.layers, chain.edges) == (("stem", "join"), ())


def test_what_the_classes_read_past_the_chosen_layers_is_said(caplog):
    program = approximate_model(make_residual(), layers=["wide"], min_leaf=5)
    assert program.layers == ("wide",)
    assert "by the path images -> stem -> join -> classes, on which none of these layers lies" in caplog.text


def test_layers_that_no_rule_can_use_are_left_out(caplog):
    train = make_residual()
    partial = replace(train, edges=(*EDGES[:-1], (FROM_IMAGES, "join"), EDGES[-1]))
    program = approximate_model(partial, layers="all", min_leaf=5)
    assert program.layers == ("join",)
    assert "3 layers (stem, wide, slim) left out, as no rule can use them: the classes don't read them" in caplog.text
    dead = replace(train, edges=tuple(edge for edge in EDGES if edge != ("slim", "join")))
    assert approximate_model(dead, layers="all", min_leaf=5).layers == ("stem", "wide", "join")


def test_chains_are_measured_from_every_cut():
    train, test = make_residual(seed=1), make_residual(seed=2)
    study = measure_chains(train, test, with_bounds=False)
    assert study.starts == ("stem", "stem,wide,slim", "join")
    assert study.layers == LAYERS
    assert list(study.commoner_value) == ["wide", "slim", "join"]
    assert study.find_below("slim") == "stem"
    assert study.find_below("join") == "stem,wide,slim"
    direct = study.find_row("direct", "stem,wide,slim")
    assert (direct.bits_right, direct.score.n_images) == ({}, 300)
    with pytest.raises(SettingError, match="'wide,slim' stand side by side, but a chain needs at least two layers"):
        measure_chains(train, test, layers=["wide", "slim"])


def test_edges_are_kept_on_disk_and_old_captures_read(tmp_path):
    train = make_residual(n_images=40)
    save_activations(train, tmp_path / "new")
    assert load_activations(tmp_path / "new").edges == EDGES
    assert load_activations(tmp_path / "new", ["stem", "join"]).edges == ()
    assert load_activations(tmp_path / "new", ["wide", "slim"]).edges == (("wide", TO_CLASSES), ("slim", TO_CLASSES))
    manifest = json.loads((tmp_path / "new" / MANIFEST).read_text())
    edges = manifest.pop("edges")
    (tmp_path / "new" / MANIFEST).write_text(json.dumps(manifest))
    assert open_capture(tmp_path / "new").graph == LayerGraph(LAYERS)
    save_activations(replace(train, edges=()), tmp_path / "old")
    assert "edges" not in json.loads((tmp_path / "old" / MANIFEST).read_text())
    for wrong in ([["join", "stem"]], [["stem"]], [["stem", "jion"]], [["", ""]], "stem", [[1, 2]]):
        (tmp_path / "new" / MANIFEST).write_text(json.dumps({**manifest, "edges": wrong}))
        with pytest.raises(CaptureError, match=MANIFEST):
            open_capture(tmp_path / "new")
    assert edges == [list(edge) for edge in EDGES]


def test_exports_take_the_bits_of_all_lowest_layers():
    part = make_program().start_at("wide")
    assert [atom.name for atom in part.atoms[: part.n_given]] == [f"{name}:{n}" for name in LAYERS[:3] for n in (0, 1)]
    names: dict[str, object] = {}
    exec(compile(part.to_python(), "<program>", "exec"), names)
    for case in list_inputs(part.n_given):
        answer, _, _ = interpret(part, case)
        row = [2.0 if number in case else 0.0 for number in range(part.n_given)]
        assert names["predict"](row) == (None if answer < 0 else part.classes[answer])
    assert "norm(X, 'slim', 1, N)" in part.to_prolog()
    with pytest.raises(ProgramError, match="this start has 3: stem, wide, slim; start at a layer .* such as 'stem'"):
        RuleModule(make_program(), start="wide")


def test_commands_take_any_cut(eric, refuse, tmp_path):
    for number, name in enumerate(("train", "test")):
        save_activations(make_residual(120, seed=number), tmp_path / name)
    train, test, file = tmp_path / "train", tmp_path / "test", tmp_path / "p.lp"
    code, _, err = eric("extract", train, "-o", file, "--layers", "all", "--min-leaf", "5")
    assert code == 0, err
    assert load_program(file).edges == EDGES
    for start in ("slim", "stem,wide,slim"):
        code, out, err = eric("evaluate", file, test, "--start", start, "--json", tmp_path / "e.json", "--force")
        assert code == 0, err
        assert json.loads((tmp_path / "e.json").read_text())["start_layer"] == "stem,wide,slim"
    code, out, _ = eric("evaluate", file, test, "--chains")
    assert (code, out.count("stem")) == (0, 2)
    refusal = refuse("evaluate", file, test, "--start", "slim,wide")
    assert "the path images -> stem -> join -> classes avoids them" in refusal
    for command in (
        ["chain", train, test, "--min-leaf", "30"],
        ["compare", file, file, test, "--start", "slim", "--start2", "join"],
        ["analyse", test, "--program", file, "--start", "slim", "--permutations", "9"],
        ["report", test, "--program", file, "-o", tmp_path / "page", "--start", "slim"],
        ["predict", file, test, "-o", tmp_path / "p.csv", "--start", "slim"],
        ["show", file],
    ):
        code, out, err = eric(*command)
        assert code == 0, err
    assert "what feeds what: stem -> wide; stem -> slim; stem, wide, slim -> join; join -> classes" in out
    assert json.loads((tmp_path / "page" / "report.json").read_text())["start_layer"] == "stem,wide,slim"
