"""Answer set programs of other tools: each dialect answers as clingo and FOLD-RM do, and every error has its place."""

import random
import time
from itertools import product

import clingo
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.foldrm import NAMES
from eric_fast import from_asp, load
from eric_fast.errors import DataError, ProgramError
from eric_fast.frontends.rules.asp_reader import MOST_ERRORS, Reader
from eric_fast.program.words import describe_class_rule
from eric_fast.table import read_table
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.examples import try_examples
from tests.fuzz import check_format, damage
from tests.make_rules_text import DIALECTS, make_rows, make_rules, write_facts, write_rules

GUARDED = "class(X,'a') :- rule1(X). class(X,'b') :- rule2(X), not rule1(X). rule1(X) :- p(X,'1'). rule2(X)."


@pytest.mark.slow
@pytest.mark.parametrize("form", ["full", "simple"])
@pytest.mark.parametrize("name", NAMES)
def test_fixtures_answer_as_foldrms_own_evaluator(shared, name, form):
    folder = shared / "fixtures" / "foldrm"
    table = read_table(folder / f"{name}.csv")
    expected = table.columns[table.names.index("foldrm_prediction")].to_pylist()
    model = from_asp((folder / f"{name}.{form}.lp").read_text(encoding="utf-8"))
    answers = model.predict(table).tolist()
    assert len(answers) == len(expected) > 600
    assert answers == [text.lower().replace(" ", "_") or None for text in expected]
    assert parse_program(print_program(model.program)) == model.program


@try_examples(60)
@given(st.integers(0, 2**32))
def test_every_dialect_answers_as_clingo(seed):
    rng = random.Random(seed)
    rules, rows = make_rules(rng), make_rows(rng, 20)
    expected = run_clingo(write_rules(rules, "clingo") + write_facts(rows), 20)
    plain = {"p" + "".join(c if c.isalnum() else "_" for c in name): column for name, column in rows.items()}
    for dialect in DIALECTS:
        model = from_asp(write_rules(rules, dialect), class_predicate="pclass" if dialect == "clingo" else "class")
        answers = model.predict(plain if dialect == "clingo" else rows).tolist()
        assert answers == expected, write_rules(rules, dialect)


def run_clingo(text, n_rows):
    control = clingo.Control(["0"], logger=lambda code, message: None)
    control.add("base", [], text)
    control.ground([("base", [])])
    models = []
    control.solve(on_model=lambda model: models.append(model.symbols(shown=True)))
    assert len(models) == 1
    answers = [None] * n_rows
    for symbol in models[0]:
        sample, name = symbol.arguments
        assert answers[sample.number] is None  # one class at most
        answers[sample.number] = name.string
    return answers


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("age(X,N0), N0=<3.5", "1.000"),
        ("age(X,N0), N0<=3.5, N0>-1", "1.000"),
        ("N0>3.5,age(X,N0)", "01.00"),
        ("3.5<N0, age(X,N0)", "01.00"),
        ("age(X,N0), N0>1, age(X,N1), N1=<4e0", "11.00"),
        ("age(X,N0), N0 \\= 4", "1.000"),
        ("age(X,N0), N0 =:= 4.0", "01.00"),
        ("age(X,4)", "01.00"),
        ("age(X,N0), N0>1, job(X,'N0')", "00.00"),
        ("not age(X,4)", "10.11"),
        ("age(X,N0), not N0 > 3", "1.010"),
        ("age(X,N0), N0 #>= 4", "01.00"),
        ("age(X,N0), N0 < inf", "11.00"),
        ("age(X,_)", "11.10"),
        ("age(X,N0)", "11.10"),
        ("not age(X,_)", "00.01"),
        ("\\+ age(X,'old')", "11.01"),
        ("age(X,'old')", "00.10"),
        ("age(X,N0), N0='OLD'", "00.10"),
        ("age(X,N0), N0 \\= 'old'", "11.00"),
        ("age(X,null)", "00.01"),
        ("job(X,'tax_man')", "10.00"),
        ('job(X,"none")', "01.01"),
        ("Job(X,none)", None),
        ("bit(X)", "10.10"),
        ("not bit(X)", "01.01"),
        ("row(X), bit(X)", "10.10"),
        ("age(X,N0),N0>3,job(X,none),not bit(X)", "01.00"),
        ("true", "11.11"),
    ],
)
def test_literals(body, expected):
    """Each on four rows, `.` between the second and the third."""
    table = {"AGE": [3, 4, "Old", None], "Job": ["Tax Man", "none", "NONE ", "none"], "bit": [True, False, True, False]}
    text = f"class(X,'yes') :- {body}."
    if expected is None:
        with pytest.raises(ProgramError, match="expected a literal"):
            from_asp(text)
        return
    answers = from_asp(text).predict(table)
    got = "".join(str(int(answer is not None)) for answer in answers)
    assert got == expected.replace(".", "")


@pytest.mark.parametrize(
    ("body", "weights", "bound"),
    [
        ("4 <= #sum { 3,1 : p(X); 2,2 : not q(X) }", (3, 2), 4),
        ("#sum { 3,1 : p(X); 2,2 : not q(X) } > 3", (3, 2), 4),
        ("#sum{-3,1:p(X);2,2:q(X)} >= -1", (3, 2), 2),
        ("#sum { 3,1 : p(X); 2,2 : q(X) } < 3", (3, 2), 3),
        ("2 { p(X); not q(X,';}'); r(X) }", (1, 1, 1), 2),
        ("{ p(X); q(X); r(X) } 1", (1, 1, 1), 2),
        ("#count { 1 : p(X); 2 : q(X); a,X : r(X) } >= 2", (1, 1, 1), 2),
        ("1 <= #sum { 2,1 : p(X); 3,2 : p(X); 0 : q(X) }", (5,), 1),
    ],
)
def test_sums_become_weight_bodies(body, weights, bound):
    (rule,) = from_asp(f"class(X,'a') :- {body}.").program.class_rules
    assert (rule.weights, rule.bound) == (weights, bound)


def make_sum(rng):
    """The text of a sum or count that is neither always true nor never, and that clingo takes."""
    literals = [f"{rng.choice(('', 'not '))}{rng.choice(('p', 'q', 'r', 's'))}(X)" for _ in range(rng.randint(1, 5))]
    kind = rng.choice(("#sum", "#sum", "#sum+", "#count", ""))
    weights = [rng.choice((-7, -2, -1, 0, 1, 2, 3, 3, 9)) if "#sum" in kind else 1 for _ in literals]
    if not kind:
        literals = list(dict.fromkeys(literals))
    terms = (f"{w},{i} : {literal}" for i, (w, literal) in enumerate(zip(weights, literals, strict=False)))
    text = f"{kind} {{ {'; '.join(terms if kind else literals)} }}"
    least, most = sum(w for w in weights if w < 0), sum(w for w in weights[: len(literals)] if w > 0)
    bound, other = sorted(rng.randint(least - 1, most + 1) for _ in range(2))
    turned = rng.choice((f"{bound} <= {text}", f"{text} >= {bound}", f"{bound} < {text}", f"{text} > {bound}"))
    turned = rng.choice((turned, f"{text} < {bound}", f"{other} >= {text}", f"{text} = {bound}", f"{bound} != {text}"))
    turned = rng.choice((turned, f"{bound} <= {text} <= {other}", f"{bound} < {text} {other}"))
    return rng.choice(("", "", "not ")) + turned


@pytest.mark.parametrize("seed", range(10))
def test_sums_answer_as_clingo_does(seed):
    rng = random.Random(seed)
    rows = list(product((0, 1), repeat=4))
    true = [(name, i) for i, row in enumerate(rows) for name, value in zip("pqrs", row, strict=True) if value]
    facts = "".join(f"row({i}). " for i in range(len(rows))) + "".join(f"{name}({i}). " for name, i in true)
    facts += " ".join(f"#defined {name}/1." for name in "pqrs") + "#show class/2."
    n_read = 0
    while n_read < 3:
        first, second, third = (make_sum(rng) for _ in range(3))
        text = f"ab1(X) :- row(X), {first}.\n"
        text += f'class(X,"yes") :- row(X), {second}, {rng.choice(("ab1(X)", "not ab1(X)", third))}.\n'
        try:
            model = from_asp(text, columns=list("pqrs"), class_predicate="class")
        except ProgramError as error:
            if "always true" in str(error) or "never true" in str(error):
                continue
            raise
        n_read += 1
        assert model.predict(np.array(rows)).tolist() == run_clingo(text + facts, len(rows)), text


def test_texts_match_exactly_before_they_match_loosely():
    model = from_asp("c(X,'upper') :- v(X,'A'). c(X,'lower') :- v(X,'a'). c(X,'one') :- v(X,'b c'). c(X,none).")
    answers = model.predict({"v": ["A", "a", "B_c", "b c", "B C", None, "Å"]}).tolist()
    assert answers == ["upper", "lower", "one", "one", "one", "none", "none"]
    unlike = from_asp("c(X,'ab') :- v(X,'Ab'). c(X,'ba') :- v(X,'aB').").predict([["AB"], ["ab"], ["aB"]]).tolist()
    assert unlike == [None, None, "ba"]  # AB could be either


def test_a_full_form_is_the_simple_one_without_its_guards():
    model = from_asp(GUARDED)
    assert [rule.body for rule in model.program.class_rules] == [(1,), (2,)]
    assert model.predict({"p": ["1", "2"]}).tolist() == ["a", "b"]
    turned = from_asp("class(X,'b') :- rule2(X), not rule1(X). class(X,'a') :- rule1(X). rule1(X) :- p(X,1). rule2(X).")
    assert [len(rule.body) for rule in turned.program.class_rules] == [2, 1]
    assert turned.predict({"p": ["1", "2"]}).tolist() == ["a", "b"]


def test_rules_may_read_classes_and_kinds():
    text = """
    size(X,'big') :- n(X,N), N>5.   size(X,'small') :- n(X,N), N=<5.
    class(X,'a') :- size(X,'big').
    class(X,'b') :- size(X,'small'), not class(X,'a'), m(X).
    """
    model = from_asp(text, class_predicate="class")
    assert model.predict({"n": [6, 5, 5], "m": [0, 1, 0]}).tolist() == ["a", "b", None]
    assert "class(a)" in model.program.derived
    with pytest.raises(ProgramError, match="several predicates could be the class"):
        from_asp(text.replace("not class(X,'a'), ", "kind(X,'x'), ") + " kind(X,'x') :- class(X,'a').")


def test_the_class_predicate_is_the_one_that_no_body_mentions():
    assert from_asp("survived(X,'0') :- class(X,'3'), not ab1(X). ab1(X) :- sex(X,'f').").classes_.tolist() == ["0"]
    assert from_asp("512(X,'0') :- not 3(X), 54(X), not ab1(X,'True'). ab1(X,'True') :- 7(X).").n_features_in_ == 3
    assert from_asp("flies(X) :- bird(X), not ab(X). ab(X) :- penguin(X).").classes_.tolist() == ["flies"]
    assert from_asp("flies(X) :- not ab(X,'True'). ab(X,'True') :- penguin(X).").classes_.tolist() == ["flies"]
    with pytest.raises(ProgramError, match="name one of them as class_predicate: 'a', 'b'"):
        from_asp("a(X,'1') :- p(X). b(X,'1') :- q(X).")
    assert from_asp("a(X,'1') :- p(X). b(X,'2') :- q(X).", class_predicate="b").classes_.tolist() == ["2"]
    with pytest.raises(ProgramError, match="no rule defines 'c'; there are 'a', 'b'"):
        from_asp("a(X,'1') :- p(X). b(X,'1') :- q(X).", class_predicate="c")
    with pytest.raises(ProgramError, match="no rule; expected"):
        from_asp("% nothing")


def test_columns_that_are_given():
    text = "c(X,'1') :- hours_per_week(X,N0), N0>2, 2(X)."
    model = from_asp(text, columns=["0", "1", "2", "Hours Per Week"])
    assert model.feature_names_in_.tolist() == ["0", "1", "2", "Hours Per Week"]
    assert model.predict(np.array([[0, 0, 1, 3], [0, 0, 0, 3], [0, 0, 1, 2]])).tolist() == ["1", None, None]
    with pytest.raises(
        ProgramError, match=r"program:1:35: the table has no column 'hours_per_week'; did you mean 'hours_per'"
    ):
        from_asp(text, columns=["hours_per", "2"])
    with pytest.raises(ProgramError, match=r"could be '2' \(column 1\) and '2' \(column 2\)"):
        from_asp("c(X,'1') :- 2(X).", columns=["2", "2"])


def test_all_errors_are_told_together_each_with_its_place():
    text = """class(X,'a') :- p(X,'1'), not ab1(X).
class(X,'b') :- p(X,'1') q(X).
class(X,'c') :- p(X,N), N > 'x'.
{ choice(X) }.
% fine
:- class(X,'a'), p(X,'2').
class(X,'d') :- p(Y,'1').
class(X,'e') :- p(X,'unclosed).
"""
    with pytest.raises(ProgramError) as caught:
        from_asp(text, source="rules.lp")
    assert str(caught.value).splitlines() == [
        "rules.lp:2:26: expected ',' or '.' after a literal, got 'q'; 'q' takes a variable for the sample and one "
        "value at most, as in f(X,'a')",
        "rules.lp:3:25: expected a number after '>', not the text 'x'",
        "rules.lp:4:1: expected a rule such as class(X,'a') :- not ab1(X)., got '{'; choices in heads have "
        "several answers: write rules that say when each atom is true",
        "rules.lp:6:1: expected a rule, got ':-', a constraint: it rules answers out, which is not supported",
        "rules.lp:8:17: expected a literal such as not ab1(X), age(X,N0) or N0>3.5, got 'p'; a quote has "
        "no end on this line",
    ]
    with pytest.raises(ProgramError) as caught:
        from_asp("class(X,'a') :- p(X,'1'), not ab1(X).\nclass(X,'d') :- p(Y,'1'), N>3.\nf(3,a) :- p(X).", source="r")
    assert str(caught.value) == "r:3:1: expected a variable for the sample in 'f', got '3'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class(X,'a') :- not ab7(X).", "1:17: expected a rule for 'ab7(X)', got none"),
        ("class(X,'a') :- p(Y,'1').", "1:17: expected 'X', as in the head, got 'Y'"),
        ("class(X,'a') :- N>3.", "1:17: expected a literal such as age(X,N) in this body too"),
        ("class(X,'a') :- p(X,N), q(X,N), N>1.", "1:25: expected a variable of its own for 'q', got that of 'p'"),
        ("class(X,'a') :- not p(X,N).", "1:17: expected '_' or a constant as the value of 'p', got 'N'"),
        ("class(X,Y) :- p(X,Y).", "1:1: expected a constant as the value of 'class', got 'Y'"),
        ("class(X,'a') :- p(X,N), N<M.", "expected 'N' to be compared with a constant, not with another variable, 'M'"),
        ("class(X,'a') :- 3<4.", "expected a variable on one side"),
        ("class(X,'a') :- -p(X).", "classical negation"),
        ("class(X,'a') ; class(X,'b') :- p(X).", "';' means 'and' to clingo and 'or' to Prolog"),
        ("class(X,'a') :- p(X) ; q(X).", "';' means 'and' to clingo and 'or' to Prolog"),
        ("class(X,'a') :- not (p(X), q(X)).", "write 'not name(X)'"),
        ("class(X,'a') :- p(X). [confidence: 1.5]", "1:23: expected a confidence from 0 to 1, got '1.5'"),
        ("class(X,'a') :- p(X), !.", "cuts are not supported"),
        ("class(X,'a') :- p('X','1').", "1:17: expected 'X', as in the head"),
        ("class(X,'a') :- p(X,f(3)).", "'p' takes a variable for the sample and one value at most"),
        ("class(X,'a') :- p(X,1,2).", "'p' takes a variable for the sample and one value at most"),
        ("class(X,'a') :- 2 { p(X) }.", "1:17: this sum, whose weights add up to 1, must reach 2, so it is never true"),
        ("class(X,'a') :- { p(X) } 1.", "so it is always true: remove it"),
        ("class(X,'a') :- q(X), 0 <= #sum { 2 : p(X) }.", "1:23: this sum, whose weights add up to 2, must reach 0"),
        (
            "class(X,'a') :- #count { Y : p(X,Y) } > 2.",
            "expected numbers before ':', got the variable 'Y'; give each value",
        ),
        ("class(X,'a') :- #sum { W,1 : p(X) } > 2.", "expected numbers before ':', got the variable 'W'"),
        ("class(X,'a') :- 2.5 <= #sum { 3 : p(X) }.", "expected a whole number as the bound of a sum, got '2.5'"),
        ("class(X,'a') :- 2 <= #sum { 2.5 : p(X) }.", "expected a whole number as the weight of a sum, got '2.5'"),
        (
            "class(X,'a') :- N = #sum { 2 : p(X) }.",
            "expected a whole number as the bound of a sum, got 'N'; write the number",
        ),
        ("class(X,'a') :- #min { 1 : p(X) } > 0.", "#min and #max are not supported: write a rule for each value"),
        ("1 { class(X,'a'); class(X,'b') } 1 :- p(X).", "got '1'; choices in heads have several answers: write rules"),
        (":~ p(X). [1,X]", "got ':'; weak constraints rank several answers: weigh literals by #sum in a rule's body"),
        ("#minimize { 1,X : p(X) }.", "a directive that changes answers; weigh literals by #sum in a rule's body"),
        ("a :- b. c :- a, not true.", "1:17: expected a literal such as b or not c, got 'not'"),
        ("a :- b, not c. c :- d, not a.", "recursion: a <- c"),
        ("{ a } :- b.", "1:1: expected a rule such as a :- b, not c., got '{'; choices in heads have several answers"),
        ("class(X,'a') :- #sum { 2 : p(X) }.", "expected a bound beside the sum, such as 3 <= #sum"),
        ("class(X,'a') :- 2 <= #sum { 3 : p(X); 3 : q(X) }.", "two terms are '3', which clingo takes for one; number"),
        ("class(X,'a') :- 2 <= #sum { 3,1 : p(X), q(X) }.", "expected one literal such as p(X) or not p(X,'a'), got"),
        ("class(X,'a') :- 2 <= #sum { 3 }.", "expected a literal for each weight, such as 3 <= #sum"),
        ("class(X,'a') :- 2 <= #sum { 3 : p(Y) }.", "expected 'X', as in the head, got 'Y'"),
        ("class(X,'a') :- 2 <= #sum { 3 : p(X) } >= 1.", "expected one lower and one upper bound"),
        ("class(X,'a') :- 1 <= #sum { 2147483647 : p(X); 1 : q(X) }.", "add up to 2147483648; clingo wraps"),
        ("class(X,'a') :- 1 <= #sum { 2147483648 : p(X) }.", "the weight 2147483648 is past 2^31 - 1"),
        ("class(X,'a') :- ab1(X). ab1(X) :- 1 <= #sum { 2,1 : ab1(X); 2,2 : p(X) }.", "recursion"),
        ("class(X,'a') :- p", "got 'p'"),
        ("class(X,'a') :- p(X)", "expected ',' or '.' after a literal, got the end of the text"),
        ("class(X,'a')", "expected ':-' or '.' after the head of a rule, got the end of the text"),
        ("class(X,'a') :- ", "got the end of the text"),
        ("#include 'x.lp'.", "1:1: expected a rule, got '#include', a directive that changes answers"),
        ("#abducible p(X).", "got '#abducible'"),
        ("/* never closed", "1:1: expected the end of this comment"),
        ("class(X,'a') :- ab1(X). ab1(X) :- not ab2(X). ab2(X) :- ab1(X).", "recursion"),
        ("class(X,'a') :- kind(X,'x'). kind(X,'y') :- p(X).", "expected a rule for kind(X,'x'), got none"),
        ("class(X,'a') :- class(X,'a').", "recursion"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ProgramError) as caught:
        from_asp(text, class_predicate="class" if "kind" in text else None)
    assert message in str(caught.value)
    assert str(caught.value).startswith("program:")


def test_few_errors_are_shown_of_many():
    text = "\n".join(f"class(X,'a') :- p{i}(X,f(1))." for i in range(1000))
    with pytest.raises(ProgramError) as caught:
        from_asp(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_ERRORS + 1
    assert lines[-1] == "and 980 more"
    assert lines[19].startswith("program:20:17: expected a literal")


def test_names_and_values_are_read_as_the_tools_write_them():
    text = """%* a % block *% %*** no block /* another
    /* another
    one */ class(X,'it's %') :- capital.gain(X,N0),N0=<7978.0,petal_length_(cm)(X,N1),N1>-1e-3. % the end
    class(X,"q\\"\\n\\\\") :- 'hours per week'(X,'don''t'), hours-per-week(X,'\\back').class(X,c) :- größe(X,'Å,_b').
    """
    model = from_asp(text)
    assert model.classes_.tolist() == ["it's %", 'q"\n\\', "c"]
    names = ["capital.gain", "petal_length_(cm)", "hours per week", "hours-per-week", "größe"]
    assert model.feature_names_in_.tolist() == names
    rows = [[1, 2, "", "", ""], [9, -9, "Don't", "\\back", "Å, b"], [9, -9, "", "", "å,_B"]]
    assert model.predict(rows).tolist() == model.classes_.tolist()


def test_notes_tell_what_is_left_out(caplog):
    from_asp("#show class/2. :- dynamic ab/1. ?- class(X,Y). row(1). row(2). class(X,'a') :- p(X,'x').")
    [record] = caplog.records
    assert record.getMessage() == (
        "program: ignored, since they change no answer: '#show' (1), ':- dynamic' (1), '?-' (1), "
        "facts that name samples (2)"
    )
    with pytest.raises(ProgramError) as caught:
        from_asp("row(1). p(1,'x').\n age(17,66). p(2,y). p(3,z). class(X,'a') :- p(X,'x'), row(X).", source="r")
    remedy = "is a fact about one sample, and rules here are for the rows of any table: put it into the column"
    assert str(caught.value).splitlines() == [
        f"r:1:9: 'p(1,x)' {remedy} 'p' of your table and remove it, and 2 more of its kind",
        f"r:2:2: 'age(17,66)' {remedy} 'age' of your table and remove it",
    ]


def test_large_and_odd_texts_are_read_or_refused_in_time():
    deep = "class(X,'a') :- ab5000(X). ab1(X) :- p(X)." + "".join(f" ab{i}(X) :- ab{i - 1}(X)." for i in range(2, 5001))
    model = from_asp(deep)
    assert model.predict([[1], [0]]).tolist() == ["a", None]
    long = "x" * 10**6
    assert from_asp(f"class(X,'a') :- {long}(X,'{long}').").feature_names_in_.tolist() == [long]
    start = time.process_time()
    for text in (
        "'a" * 10**6,
        "'" * 10**6 + ".",
        "(" * 10**6,
        "f(X) :- " + "((" * 10**6,
        "%*" * 10**5,
        "." * 10**5,
        "p(" * 10**5,
    ):
        with pytest.raises(ProgramError):
            from_asp(text)
    assert time.process_time() - start < 10


def test_thousands_of_rules_are_read_in_time():
    rng = random.Random(0)
    lines = []
    for i in range(2000):
        body = ", ".join(f"{rng.choice(('', 'not '))}c{rng.randrange(40)}(X,'v{rng.randrange(9)}')" for _ in range(3))
        lines.append(f"class(X,'k{i % 9}') :- {body}, n1(X,N1), N1>{rng.randrange(999) / 10}, not ab{i}(X). ")
        lines.append(f"ab{i}(X) :- c{rng.randrange(40)}(X,'v1'). ")
    text = "\n".join(lines)
    start = time.process_time()
    assert len(Reader(text, "rules").clauses) == 4000
    assert len(from_asp(text).program.class_rules) == 2000
    assert time.process_time() - start < 2  # 0.2 s alone


def test_damaged_texts_are_read_or_refused():
    n_read, _, n_refused = check_format("asp", 300)
    assert n_read > 10
    assert n_refused > 100


def test_damaged_fixtures_are_read_or_refused(shared):
    rng = random.Random(1)
    texts = [path.read_bytes() for path in sorted((shared / "fixtures" / "foldrm").glob("*.lp"))]
    messages = []
    for _ in range(300):
        try:
            from_asp(damage(rng, rng.choice(texts)).decode("utf-8", "replace"))
        except ProgramError as error:
            messages.append(str(error))
    assert 50 < len(messages) < 300
    assert all(message.startswith("program:") for message in messages)


BIRDS = """flies(X) :- bird(X), not penguin(X), not kind(X,'big').
bird(X) :- penguin(X). bird(X) :- duck(X). kind(X,'big') :- penguin(X), not ab1(X). ab1(X) :- duck(X).
"""


def test_a_predicate_may_be_a_column_and_a_head():
    model = from_asp(BIRDS)
    assert model.feature_names_in_.tolist() == ["penguin", "duck", "bird", "kind"]
    assert model.optional == ("bird", "kind")
    rows = [(p, d, b, k) for p in (0, 1) for d in (0, 1) for b in (0, 1) for k in ("big", "small", None)]
    facts = ""
    for row, (penguin, duck, bird, kind) in enumerate(rows):
        facts += f"sample({row})." + f"penguin({row})." * penguin + f"duck({row})." * duck + f"bird({row})." * bird
        facts += f"kind({row},{kind})." if kind else ""
    control = clingo.Control(["--warn=none"])
    control.add("base", [], BIRDS.replace("'big'", "big") + facts)
    control.ground([("base", [])])
    with control.solve(yield_=True) as answers:
        found = {atom.arguments[0].number for atom in answers.model().symbols(atoms=True) if atom.name == "flies"}
    wanted = ["flies" if row in found else None for row in range(len(rows))]
    table = dict(zip(("penguin", "duck", "bird", "kind"), map(list, zip(*rows, strict=True)), strict=True))
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    for each in (model, again):
        assert each.predict(table).tolist() == each.predict(rows).tolist() == wanted
        assert (
            each.predict({"duck": table["duck"], "Penguin": table["penguin"]}).tolist()
            == each.predict({**table, "bird": [None] * len(rows), "kind": [None] * len(rows)}).tolist()
            == each.predict([row[:2] for row in rows]).tolist()
        )
    assert from_asp(BIRDS, columns=["duck", "bird", "penguin"]).optional == ()
    with pytest.raises(DataError, match="expected a table of 4 columns, got 3"):
        model.predict([row[:3] for row in rows])
    with pytest.raises(ProgramError, match="setting 'optional'"):
        RuleModel.from_program(model.program.with_settings((("optional", '["duck"]'),)))


def test_prologs_not_and_confidences_behind_rules():
    text = """class(X,'a') :- not(p(X)), \\+ ( q(X,'not(p(X))') ). [confidence: 0.73]
class(X,'b') :- not ab1(X) [confidence: 9.5e-1].
class(X,'a') :- r(X).   [ confidence : 1 ]
ab1(X) :- not( r(X) ).
"""
    plain = "class(X,'a') :- not p(X), not q(X,'not(p(X))'). class(X,'b') :- not ab1(X). class(X,'a') :- r(X)."
    plain += " ab1(X) :- not r(X)."
    model, expected = from_asp(text), from_asp(plain)
    rows = [(p, q, r) for p in (0, 1) for q in ("not(p(X))", "x") for r in (0, 1)]
    assert model.predict(rows).tolist() == expected.predict(rows).tolist()
    assert [rule.given_confidence for rule in model.program.class_rules] == [0.73, 0.95, 1.0]
    assert parse_program(print_program(model.program)) == model.program
    assert "confidence 0.73" in describe_class_rule(model.program, 1)
    shares = model.predict_proba([(0, "x", 0)])
    assert np.allclose(shares, [[0.73, 0.27]])


def make_propositional(rng):
    """Rules over `a` to `h`, each of atoms after it only."""
    atoms = "abcdefgh"
    lines = []
    for _ in range(rng.randint(1, 9)):
        place = rng.randrange(5)
        body = [f"{rng.choice(('', 'not '))}{rng.choice(atoms[place + 1 :])}" for _ in range(rng.randint(0, 3))]
        if len(set(body)) > 1 and rng.random() < 0.3:
            terms = (f"{i},{i} : {literal}" for i, literal in enumerate(dict.fromkeys(body), 1))
            body = [f"2 <= #sum {{ {'; '.join(terms)} }}", *body[:1]]
        lines.append(f"{atoms[place]} :- {', '.join(body)}." if body else f"{atoms[place]}.")
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(12))
def test_propositional_programs_answer_as_clingo_does(seed):
    rng = random.Random(seed)
    text = make_propositional(rng)
    model = from_asp(text)
    heads = [name for name, _ in model.program.outputs]
    assert heads == list(dict.fromkeys(line[0] for line in text.splitlines()))
    names = model.feature_names_in_.tolist()
    rows = [[rng.randrange(2) for _ in names] for _ in range(12)]
    expected = []
    for row in rows:
        control = clingo.Control(["--warn=none"])
        facts = (f"{name}." for name, value in zip(names, row, strict=True) if value)
        control.add("base", [], f"{text}\n{' '.join(facts)}")
        control.ground([("base", [])])
        with control.solve(yield_=True) as answers:
            true = {str(atom) for atom in answers.model().symbols(atoms=True)}
        expected.append([head in true for head in heads])
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    for each in (model, again):
        assert each.predict(dict(zip(names, zip(*rows, strict=True), strict=True))).tolist() == expected, text


def test_propositional_programs_name_columns_as_their_atoms(tmp_path):
    text = "% a(X)\n:- dynamic(a/0). alarm:-smoke,not(row).alarm :- \\+ ab1, heat. % (b)\n"
    (tmp_path / "rules.lp").write_text(text)
    model = load(tmp_path / "rules.lp")
    assert model.feature_names_in_.tolist() == ["smoke", "row", "ab1", "heat", "alarm"]
    table = {"Smoke": [1, 1, 0, 0], "row": [False, True, False, False], "ab1": [0, 1, 0, 1], "heat": [0, 1, 1, 1]}
    assert model.predict(table).tolist() == [[True], [False], [True], [False]]
    chosen = from_asp(text, class_predicate="alarm")
    assert chosen.predict(table).tolist() == ["alarm", None, "alarm", None]
