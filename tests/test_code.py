"""Programs as Python and C: run, they answer as the interpreter and as `RuleModel` do."""

import csv
import ctypes
import math
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from eric_fast.bits import unpack_words
from eric_fast.errors import ProgramError
from eric_fast.frontends.registry import load
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table import TablePacker
from eric_fast.table.column_names import fold_text
from tests.make_programs import CLASSES, count_inputs, make_program
from tests.oracles import interpret

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
N_PROGRAMS, N_ROWS = 250, 10
NUMBERS = (math.nan, 0.0, -0.0, math.inf, -math.inf, 1e300, -1e300, 5e-324, 0.25, 0.250000001, -2.5, 3e38)
TEXTS = (*CLASSES, None, "", "Sea_Lion", "É", "X.Y", "0.0", "2.5", " 1e3 ", "1_0", "nan", "-inf")


@pytest.fixture(scope="module")
def compile_c(tmp_path_factory):
    """A function from C sources, each with a `predict`, to a library in which they are `predict_0`, `predict_1`, ..."""
    gcc = shutil.which("gcc") or shutil.which("cc")
    if gcc is None:
        if os.environ.get("CI"):
            pytest.fail("a C compiler is missing; in CI no test may go without it")
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("c")

    def compile_sources(sources):
        parts = []
        for number, source in enumerate(sources):
            names = ("predict", "classes", "outputs", "is", "spelled", "folds", "wording", "Known", "Spelling")
            parts += [f"#define {name} {name}_{number}" for name in names] + [source]
            parts += [f"#undef {name}" for name in names]
        name = f"p{len(list(folder.iterdir()))}"
        (folder / f"{name}.c").write_text("\n".join(parts), encoding="ascii")
        done = subprocess.run(
            [gcc, *FLAGS, "-o", f"{name}.so", f"{name}.c"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        library = ctypes.CDLL(str(folder / f"{name}.so"))
        library.take_texts = ["*texts" in source for source in sources]
        return library

    return compile_sources


def run_python(program):
    """The functions of a program's Python."""
    names = {}
    exec(compile(program.to_python(), "<program>", "exec"), names)
    return names


def ask_c(library, number, program, numbers, texts):
    """What `predict` gives for a row of numbers and one of texts: the class, the sums, the bits."""
    predict = library[f"predict_{number}"]
    predict.restype = ctypes.c_int if program.decision in ("first", "vote") else None
    arguments = [(ctypes.c_double * max(len(numbers), 1))(*numbers)]
    if library.take_texts[number]:
        encoded = [None if text is None else text.encode() for text in texts]
        arguments.append((ctypes.c_char_p * max(len(encoded), 1))(*encoded))
    out = (
        ctypes.c_int * (len(program.outputs) + 1)
        if program.decision == "bits"
        else ctypes.c_double * (len(program.classes) + 1)
    )()
    if program.decision != "first":
        arguments.append(out)
    answer = predict(*arguments)
    return answer, list(out)[:-1]


def list_columns(program):
    return program.quantiser.columns if isinstance(program.quantiser, TableQuantiser) else ()


def draw_rows(rng, program):
    """Rows of cells as a program's columns or kernels have them; edges of its comparisons among them."""
    columns = list_columns(program)
    edges = [c for atom in program.quantiser.atoms if isinstance(c := atom.constant, float)]
    edges += [math.nextafter(edge, toward) for edge in edges for toward in (-math.inf, math.inf)]
    with np.errstate(over="ignore"):
        edges += [float(np.nextafter(np.float32(edge), np.float32(0))) for edge in edges]
    if not columns:
        return [[rng.choice((*NUMBERS, *edges)) for _ in range(count_inputs(program))] for _ in range(N_ROWS)]
    pools = {"text": TEXTS, "loose": (*TEXTS, *NUMBERS, *map(str, edges)), "float32": (None, *NUMBERS, *edges)}
    return [[rng.choice(pools.get(column.kind, pools["float32"])) for column in columns] for _ in range(N_ROWS)]


def interpret_rows(program, rows):
    """What the interpreter gives for each row: the class's place, the sums, the outputs' bits."""
    if isinstance(program.quantiser, TableQuantiser):
        table = {c.name: [row[i] for row in rows] for i, c in enumerate(program.quantiser.columns)}
        words, n_rows = TablePacker(program.quantiser).pack(table)
        given = unpack_words(words, n_rows).numpy()
    else:
        with np.errstate(over="ignore"):
            values = np.array(rows, np.float64).astype(np.float32)
        tests = {">": np.greater, "<=": np.less_equal, "==": np.equal}
        lowest = program.quantiser.atoms[: values.shape[1]]
        given = np.array([tests[a.operator](v, np.float32(a.constant)) for a, v in zip(lowest, values.T, strict=True)])
        given = given.reshape(len(lowest), len(rows)).T
    for row in range(len(rows)):
        answer, fired, true = interpret(program, set(np.flatnonzero(given[row]).tolist()))
        sums = list(program.base or [0.0] * len(program.classes))
        for rule in (program.class_rules[number - 1] for number in fired):
            for output, weight in ((rule.head, rule.weight), *rule.also):
                sums[output] += weight
        yield answer, sums, [atom in true for _, atom in program.outputs]


def draw_programs():
    rng = random.Random(0)
    programs = [make_program(rng.randint, with_sums=True).select_start() for _ in range(N_PROGRAMS)]
    return [(program, draw_rows(rng, program)) for program in programs]


@pytest.fixture(scope="module")
def drawn():
    return [(program, rows, list(interpret_rows(program, rows))) for program, rows in draw_programs()]


def test_python_answers_as_the_interpreter(drawn):
    seen = set()
    for program, rows, expected in drawn:
        names = run_python(program)
        for row, (answer, sums, bits) in zip(rows, expected, strict=True):
            found = names["predict"](row)
            if program.decision == "bits":
                assert found == bits
            elif program.decision == "sum":
                assert found == sums
            else:
                assert found == (None if answer < 0 else program.classes[answer])
            if program.decision == "vote":
                assert names["add_up"](row)[0] == sums
            seen.add((program.decision, isinstance(program.quantiser, TableQuantiser), str(found)))
    assert len(seen) > 60  # answers of all kinds came up


def can_be_c(program):
    """Whether no column of kind `loose` is compared with texts past ASCII."""
    columns = list_columns(program)
    sets = [atom for atom in program.quantiser.atoms if columns and isinstance(atom.constant, tuple)]
    return all(str(text).isascii() for atom in sets if columns[atom.column].kind == "loose" for text in atom.constant)


def test_c_answers_as_the_interpreter(drawn, compile_c):
    fit = [case for case in drawn if can_be_c(case[0])]
    assert sum("loose" in {c.kind for c in list_columns(program)} for program, _, _ in fit) > 10
    library = compile_c([program.to_c() for program, _, _ in fit])
    for number, (program, rows, expected) in enumerate(fit):
        for row, (answer, sums, bits) in zip(rows, expected, strict=True):
            numbers = [cell if isinstance(cell, float) else math.nan for cell in row]
            texts = [cell if isinstance(cell, str) else None for cell in row]
            found, out = ask_c(library, number, program, numbers, texts)
            if program.decision == "bits":
                assert out == bits
            elif program.decision == "sum":
                assert out == sums
            else:
                assert found == answer
            if program.decision == "vote":
                assert out == sums


def test_each_file_of_c_compiles_alone(drawn, compile_c):
    fit = [program for program, _, _ in drawn if isinstance(program.quantiser, TableQuantiser)][:40]
    for program in [program for program in fit if can_be_c(program)][:12]:
        compile_c([program.to_c()])


def test_the_python_file_runs_by_itself(tmp_path):
    model = load(DecisionTreeClassifier(max_depth=3).fit(*load_iris(return_X_y=True)))
    (tmp_path / "rules.py").write_text(model.program.to_python(), encoding="ascii")
    code = (
        "import sys; sys.path.insert(0, '.'); import rules; "
        "print(rules.predict([5.1, 3.5, 1.4, 0.2]), {'numpy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 set()"


@pytest.mark.slow
def test_real_models_answer_the_same(compile_c):
    cancer, diabetes = load_breast_cancer(), load_diabetes()
    models = [
        load(RandomForestClassifier(20, random_state=0).fit(cancer.data, cancer.target)),
        load(RandomForestRegressor(10, max_depth=6, random_state=0).fit(diabetes.data, diabetes.target)),
        load(DecisionTreeClassifier(random_state=0).fit(cancer.data, np.array(["no", "yes"])[cancer.target])),
    ]
    library = compile_c([model.program.to_c() for model in models])
    for number, (model, data) in enumerate(zip(models, (cancer.data, diabetes.data, cancer.data), strict=True)):
        names = run_python(model.program)
        sums = model.evaluate(data, scores=True).scores.numpy()
        for row, expected in zip(data.tolist(), sums.tolist(), strict=True):
            _, found = ask_c(library, number, model.program, row, [])
            assert found == expected
            assert (names["add_up"](row)[0] if model.program.decision == "vote" else names["predict"](row)) == expected


def test_what_the_code_looks_like():
    columns = (Column("class"), Column("if\n*/", "text"))
    atoms = (
        TableAtom(0, "class", ">", 12.5),
        TableAtom(0, "class", "<=", math.inf, True),
        TableAtom(1, columns[1].name, "in", ("a", "?é")),
    )
    rules = (ClassRule(0, (0, 3)), ClassRule(1, (~2,)))
    program = Program(TableQuantiser(atoms, columns), ("x", "y"), rules, (Rule(3, (~1, 2)),), derived=("é",))
    python = program.to_python()
    assert "    d__ = c_class > math.inf and c_if___ in ('a', '?\\xe9')\n" in python
    assert "    if c_class > 12.5 and d__:  # rule 1\n        return CLASSES[0]  # 'x'\n" in python
    assert "    return None\n" in python
    c = program.to_c()
    assert "    const char *const c_if___ = texts[1]; /* 'if\\n* /' */\n" in c
    assert '    const int d__ = (c_class > HUGE_VAL) && (is(c_if___, "a") || is(c_if___, "\\077\\303\\251"));\n' in c
    assert "    if (!(is(c_if___" in c
    assert c.isascii()
    assert python.isascii()


def test_long_conditions_are_broken_and_deep_chains_are_no_trouble(compile_c):
    n = 3000
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(60))
    rules = [Rule(60 + k, (~(59 + k), k % 60)) for k in range(n)]
    rules.append(Rule(60, tuple(range(60))))
    program = Program(
        Quantiser(atoms), (), (), rules, decision="bits", derived=[f"g{k}" for k in range(n)], outputs=(("o", 59 + n),)
    )
    assert max(map(len, program.to_python().splitlines())) < 120
    library = compile_c([program.to_c()])
    predict = run_python(program)["predict"]
    rng = np.random.default_rng(0)
    for row in rng.choice([-1.0, 1.0], (20, 60)).tolist():
        (answer,) = interpret_chain(row, n)
        assert predict(row) == [answer]
        assert ask_c(library, 0, program, row, [])[1] == [answer]


def interpret_chain(row, n):
    given = [value > 0 for value in row]
    last = (not given[59] and given[0]) or all(given)
    for k in range(1, n):
        last = not last and given[k % 60]
    yield last


def test_loose_columns_in_c(compile_c):
    columns = (Column("Job", "loose"), Column("age", "loose"))
    known = ("Sea Lion", "it's", "2", "0", "a_b", "A_B")
    atoms = (*(TableAtom(0, "Job", "in", (text,)) for text in known), TableAtom(0, "Job", "in", (), True))
    atoms += (TableAtom(1, "age", ">", 1.5), TableAtom(1, "age", "<=", 1.5))
    outputs = tuple((atom.name, i) for i, atom in enumerate(atoms))
    program = Program(TableQuantiser(atoms, columns), (), (), decision="bits", outputs=outputs)
    library = compile_c([program.to_c()])
    jobs = ["Sea Lion", "SEA_LION", "sea lion ", "It's", "2", 2.0, "2.0", 0.0, -0.0, "a_b", "A b", None, math.nan, 7.0]
    ages = ["2", " 1.5e0 ", "+1.6", ".5", "1.", "1e", "0x2", "1_6", "INF", "-Infinity", "nan", "", "infin", 2.5, None]
    rows = [(job, "2") for job in (*jobs, "\u212aing")] + [("2", age) for age in ages]
    for row, (_, _, bits) in zip(rows, interpret_rows(program, rows), strict=True):
        numbers = [cell if isinstance(cell, float) else math.nan for cell in row]
        texts = [cell if isinstance(cell, str) else None for cell in row]
        assert ask_c(library, 0, program, numbers, texts)[1] == bits, row


def test_loose_texts_past_ascii_are_refused_in_c():
    atoms = (TableAtom(0, "job", "in", ("é",)),)
    program = Program(TableQuantiser(atoms, (Column("job", "loose"),)), ("a",), (ClassRule(0, (0,)),))
    with pytest.raises(ProgramError, match="column 'job' of kind 'loose' is compared with non-ASCII text"):
        program.to_c()


@pytest.mark.parametrize("form", ["simple", "full"])
def test_the_rules_of_fold_rm_in_c(compile_c, form, shared):
    folder = shared / "fixtures" / "foldrm"
    for name in ("krkp", "nursery", "pendigits", "wall_robot"):
        program = load(folder / f"{name}.{form}.lp").program
        library = compile_c([program.to_c()])
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[:300]
        alike = {fold_text(column): column for column in rows[0]}
        places = [alike[fold_text(column.name)] for column in program.quantiser.columns]
        for row in rows:
            texts = [row[place] for place in places]
            numbers = [to_number(text) for text in texts]
            answer, _ = ask_c(library, 0, program, numbers, texts)
            assert (program.classes[answer] if answer >= 0 else "") == fold_text(row["foldrm_prediction"])


def to_number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan
