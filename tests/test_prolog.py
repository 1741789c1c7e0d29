"""Programs as Prolog: SWI-Prolog answers as we do."""

import math
import operator
import os
import random
import shutil
import subprocess

import numpy as np
import pytest
import torch

from eric_fast.bits import unpack_words
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.printers.prolog import format_number, quote_atom
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table import TablePacker
from eric_fast.table.model import RuleModel
from eric_fast.text import print_prolog
from tests.make_programs import CLASSES, make_program
from tests.oracles import interpret

N_SAMPLES, N_PROGRAMS = 12, 80
ASK = """
:- encoding(utf8).
say(M, Kind, X, Name, Value) :-
    atom_codes(Name, Codes), atomic_list_concat(Codes, ' ', Text),
    format("~w ~w ~w ~w ~w~n", [M, Kind, X, Value, Text]).
ask(M) :-
    forall((current_predicate(M:class/2), M:class(X, C)), say(M, class, X, C, 1)),
    forall((current_predicate(M:score/3), M:score(X, C, S)), say(M, score, X, C, S)),
    forall((current_predicate(M:output/2), M:output(X, C)), say(M, output, X, C, 1)).
"""


@pytest.fixture(scope="module")
def swipl():
    found = shutil.which("swipl")
    if found is None and os.environ.get("CI"):
        pytest.fail("swipl is missing; in CI no test may go without it: apt-get install swi-prolog-nox")
    return found or pytest.skip("needs SWI-Prolog (swipl)")


def run_prolog(swipl, folder, cases):
    """What each (program, facts) answers, in one process: sorted (kind, sample, name, value)."""
    script = [ASK]
    for number, (program, facts) in enumerate(cases):
        (folder / f"p{number}.pl").write_text(print_prolog(program), encoding="utf-8")
        (folder / f"f{number}.pl").write_text("\n".join([":- encoding(utf8).", *facts, ""]), encoding="utf-8")
        script.append(f":- m{number}:consult('p{number}.pl'), m{number}:consult('f{number}.pl'), ask(m{number}).")
    (folder / "run.pl").write_text("\n".join(script))
    done = subprocess.run(
        [swipl, "-q", "-g", "halt", "run.pl"], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [[] for _ in cases]
    for line in done.stdout.splitlines():
        module, kind, sample, value, *codes = line.split(" ")
        name = "".join(chr(int(code)) for code in codes)
        answers[int(module[1:])].append((kind, int(sample), name, float(value)))
    return [sorted(lines) for lines in answers]


def make_rows(rng, program):
    """Cells for each column: numbers near the program's constants, texts near its texts, and none."""
    numbers = [0.0, 1.0, -2.5, 2.0**-149, 0.25, 3e38, 7.0, math.inf]
    texts = [*CLASSES, "SEA LION", "sea_lion", "É", "0.25", "none"]
    pools = {"text": texts, "loose": texts + numbers}
    return [
        [
            None if rng.random() < 0.2 else rng.choice(pools.get(column.kind, numbers))
            for column in program.quantiser.columns
        ]
        for _ in range(N_SAMPLES)
    ]


def make_case(seed):
    """A program, facts about samples, and what the interpreter answers."""
    rng = random.Random(seed)
    program = make_program(rng.randint, with_sums=True).select_start()
    quantiser = program.quantiser
    facts = [f"sample({i})." for i in range(N_SAMPLES)]
    if isinstance(quantiser, TableQuantiser):
        rows = make_rows(rng, program)
        for i, row in enumerate(rows):
            for column, value in zip(quantiser.columns, row, strict=True):
                if value is not None:
                    cell = quote_atom(value) if isinstance(value, str) else format_number(value)
                    facts.append(f"cell({i}, {quote_atom(column.name)}, {cell}).")
        columns = {column.name: [row[i] for row in rows] for i, column in enumerate(quantiser.columns)}
        bits = unpack_words(TablePacker(quantiser).pack(columns)[0], N_SAMPLES)
    else:
        atoms = quantiser.atoms_of_layer(program.layers[0]) if program.layers else ()
        norms = [[rng.choice((0.25, -0.5, 1.0, 2.0, 0.0, 2.25)) for _ in atoms] for _ in range(N_SAMPLES)]
        compare = {">": operator.gt, "<=": operator.le, "==": operator.eq}
        for i, row in enumerate(norms):
            for atom, norm in zip(atoms, row, strict=True):
                facts.append(f"norm({i}, {quote_atom(atom.layer)}, {atom.column}, {norm}).")
        bits = torch.tensor(
            [[compare[a.operator](norm, a.constant) for a, norm in zip(atoms, row, strict=True)] for row in norms]
        )
    answers = [answer for i in range(N_SAMPLES) for answer in list_answers(program, i, bits[i].nonzero().flatten())]
    return program, sorted(facts), sorted(answers)


def list_answers(program, sample, given):
    answer, fired, true = interpret(program, set(given.tolist()))
    if program.decision in ("first", "vote") and answer >= 0:
        yield "class", sample, program.classes[answer], 1.0
    if program.decision.adds_weights:
        sums = list(program.base or [0.0] * len(program.classes))
        for number in fired:
            rule = program.class_rules[number - 1]
            for output, weight in ((rule.head, rule.weight), *rule.also):
                sums[output] += weight
        yield from (("score", sample, name, total) for name, total in zip(program.classes, sums, strict=True))
    yield from (("output", sample, name, 1.0) for name, atom in program.outputs if atom in true)


def test_swi_prolog_answers_as_the_interpreter(swipl, tmp_path):
    cases = [make_case(seed) for seed in range(N_PROGRAMS)]
    decisions = {(program.decision, isinstance(program.quantiser, TableQuantiser)) for program, *_ in cases}
    assert len(decisions) == 8
    got = run_prolog(swipl, tmp_path, [case[:2] for case in cases])
    for (program, _, expected), answers in zip(cases, got, strict=True):
        assert answers == expected, print_prolog(program)


def test_real_weights_are_added_in_our_order(swipl, tmp_path):
    columns = tuple(Column(f"x{i}") for i in range(6))
    atoms = tuple(TableAtom(i, f"x{i}", ">", 0.1 * i) for i in range(6))
    rng = random.Random(5)
    rules = tuple(ClassRule(rng.randrange(3), (rng.choice((a, ~a)),), weight=rng.gauss(0, 1)) for a in range(6))
    program = Program(TableQuantiser(atoms, columns), ("a", "b", "c"), rules, decision="vote", base=(0.1, 0.2, 0.3))
    table = np.random.default_rng(5).random((200, 6))
    facts = [f"cell({i}, x{j}, {table[i, j]})." for i in range(200) for j in range(6)]
    [answers] = run_prolog(swipl, tmp_path, [(program, [*facts, *(f"sample({i})." for i in range(200))])])
    model = RuleModel(program)
    expected = model.decision_function(table)
    scores = {(i, name): value for kind, i, name, value in answers if kind == "score"}
    assert [[scores[i, name] for name in "abc"] for i in range(200)] == expected.tolist()
    classes = {i: name for kind, i, name, _ in answers if kind == "class"}
    assert [classes[i] for i in range(200)] == model.predict(table).tolist()


def test_a_program_reads_well():
    """The text itself, of a small one."""
    atoms = (TableAtom(0, "age", "<=", 3.5), TableAtom(1, "job", "in", ("none",), missing=True))
    program = Program(
        TableQuantiser(atoms, (Column("age"), Column("job", "text"))),
        ("a", "it's"),
        (ClassRule(1, (0, ~2)), ClassRule(0, ())),
        (Rule(2, (1,)),),
        derived=("ab1",),
    )
    text = program.to_prolog()
    for line in (
        "class(X, Class) :- sample(X), (fires(X, R) -> rule(R, Class)).",
        r"rule(1, 'it\'s').",
        "fires(X, 1) :- sample(X), c_age_1(X), \\+ d_ab1(X).",
        "d_ab1(X) :- sample(X), c_job_1(X).",
        "c_age_1(X) :- numeric(X, 'age', N), N =< 3.5.",
        "c_job_1(X) :- sample(X), \\+ textual(X, 'job', _).",
    ):
        assert line in text.splitlines()
    assert text == print_prolog(program)
