"""`Program` to C99 that depends on the standard library alone: a function that answers for one row."""

import math
from collections.abc import Iterator, Sequence
from itertools import count

from eric_fast.errors import ProgramError
from eric_fast.program.data import ProgramData
from eric_fast.program.decision import Decision
from eric_fast.program.printers.code import Code, Syntax, Value

_ANSWERS = {
    Decision.FIRST: "the class of the first rule that fires, its place in `classes`; {default} where none does",
    Decision.VOTE: (
        "the class of the highest sum, its place in `classes`, the first of equals; {default} where no rule fires"
    ),
    Decision.SUM: "in `sums` a sum for each of `classes`",
    Decision.LABELS: "in `sums` a sum for each of `classes`, which is true where its sum is above 0",
    Decision.BITS: "in `bits` whether each of `outputs` is true, 1 or 0",
}
_IS = """\
static int is(const char *value, const char *text) {
    return value != NULL && strcmp(value, text) == 0;
}"""


# A value of kind `loose` is a text, or else a number; see `Column`.
_SPELLED = """\
static double spelled(const char *text, double number) {
    static const char digits[] = "0123456789", blanks[] = " \\t\\n\\v\\f\\r";
    static const char *const words[] = {"infinity", "inf", "nan"};
    if (text == NULL) return number;
    text += strspn(text, blanks);
    const char *at = text + (*text == '+' || *text == '-');
    size_t n = strspn(at, digits);
    at += n;
    if (*at == '.') {
        size_t after = strspn(++at, digits);
        n += after;
        at += after;
    }
    if (n && (*at == 'e' || *at == 'E')) {
        at += 1 + (at[1] == '+' || at[1] == '-');
        size_t power = strspn(at, digits);
        if (!power) return NAN;
        at += power;
    }
    for (int i = 0; i < 3 && !n; i++) {
        size_t k = 0;
        while (words[i][k] && (at[k] | 32) == words[i][k]) k++;
        if (!words[i][k] && at == text + (*text == '+' || *text == '-')) {
            at += k;
            n = k;
        }
    }
    at += strspn(at, blanks);
    return n && !*at ? strtod(text, NULL) : NAN;
}"""
_WORDING = """\
typedef struct { const char *text, *folded; } Known; /* folded: NULL where another text folds to the same */
typedef struct { double number; const char *text; } Spelling;

static int folds(const char *value, const char *folded) {
    for (; *value; folded++) {
        int letter = (unsigned char)*value++;
        if (letter == 0xE2 && !strncmp(value, "\\204\\252", 2)) { /* the sign of Kelvin, whose small letter is k */
            letter = 'k';
            value += 2;
        }
        if (letter >= 'A' && letter <= 'Z') letter += 'a' - 'A';
        if (letter == ' ') letter = '_';
        if (letter != (unsigned char)*folded) return 0;
    }
    return !*folded;
}

static const char *wording(const char *text, double number, const Known *known, const Spelling *spellings,
                           const char *other) {
    if (text == NULL) {
        if (number != number) return NULL;
        for (; spellings->text; spellings++) {
            if (spellings->number == number && !signbit(spellings->number) == !signbit(number)) return spellings->text;
        }
        return other;
    }
    for (int i = 0; known[i].text; i++) {
        if (!strcmp(text, known[i].text)) return text;
    }
    for (int i = 0; known[i].text; i++) {
        if (known[i].folded && folds(text, known[i].folded)) return known[i].text;
    }
    return text;
}"""


def _write_number(number: float) -> str:
    return repr(float(number)) if abs(number) != float("inf") else f"{'-' * (number < 0)}HUGE_VAL"


def _write_text(text: str) -> str:
    """A string of C: everything but plain ASCII as octal digits, so that no trigraph or escape comes about."""
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def _write_note(text: str) -> str:
    return "/* " + ascii(text).replace("*/", "* /").replace("/*", "/ *") + " */"


def _write_among(name: str, constant: Sequence[float | str], is_text: bool) -> str:
    tests = [
        f"is({name}, {_write_text(value)})" if isinstance(value, str) else f"{name} == {_write_number(value)}"
        for value in constant
    ]
    return f"({' || '.join(tests)})"


_SYNTAX = Syntax(
    conjunction=" && ",
    disjunction=" || ",
    negation="!{}",
    true="1",
    false="0",
    compare=lambda name, operator, constant: f"({name} {operator} {_write_number(constant)})",
    among=_write_among,
    lacks=lambda name, is_text: f"({name} == NULL)" if is_text else f"({name} != {name})",
)


def print_c(program: ProgramData) -> str:
    """The program as C99: `predict`, which takes one row and answers as its first lines say.

    `row` holds a double for each column in order, NaN where missing, or the norms of the kernels of the lowest layer;
    where texts are compared, `texts` holds a string of UTF-8 for each column, NULL where missing. A column of kind
    `loose` has a text, or NULL and a number. Texts are taken for numbers in the locale "C". Classes are numbered.
    What a `RuleModel` makes of sums, probabilities or an average, isn't among it.

    Raises:
        ProgramError: a column of kind `loose` that is compared with texts past ASCII, whose small letters C can't find.
    """
    code = Code(program, _SYNTAX)
    for value in code.values:
        if value.kind == "loose" and not "".join(value.texts).isascii():
            raise ProgramError(
                f"column '{value.label}' of kind 'loose' is compared with non-ASCII text, which C can't convert to "
                "lower case; use to_python, or make the column's kind 'text'"
            )
    body = "\n".join(_write_function(code))
    is_worded = any(value.kind == "loose" and value.texts for value in code.values)
    is_spelled = any(value.kind == "loose" and not value.texts for value in code.values)
    names, texts = code.name_answers()
    sections = [
        "\n".join(_write_head(code)),
        "\n".join(
            f"#include <{header}.h>"
            for header, used in (
                ("math", "HUGE_VAL" in body or is_worded or is_spelled),
                ("stddef", code.reads_texts),
                ("stdlib", is_spelled),
                ("string", code.reads_texts),
            )
            if used
        ),
        "\n".join(
            [f"const char *const {names}[{len(texts)}] = {{", *(f"    {_write_text(text)}," for text in texts), "};"]
        )
        if texts
        else "",
        _IS if any(value.texts for value in code.values) else "",
        _SPELLED if is_spelled else "",
        _WORDING if is_worded else "",
        body,
    ]
    return "\n\n".join(text for text in sections if text) + "\n"


def _write_head(code: Code) -> Iterator[str]:
    program = code.program
    default = -1 if program.default is None else program.default
    yield "/* A logic program as one function, written by eric_fast."
    yield " *"
    yield f" * predict gives {_ANSWERS[program.decision].format(default=default)}."
    what = "column" if code.columns else "kernel"
    yield f" * A row holds a number for each {what}, {len(code.labels)} in all, NaN where there is none."
    if code.reads_texts:
        yield " * texts holds a text in UTF-8 for each column, NULL where there is none; a column uses one of the two."
    if loose := list(dict.fromkeys(value.label for value in code.values if value.kind == "loose")):
        shown = ascii(", ".join(loose)).replace("*/", "* /").replace("/*", "/ *")
        yield f" * These may hold either in each row, a text or else a number: {shown}."
    yield " */"


def _write_function(code: Code) -> Iterator[str]:
    program = code.program
    has_numbers = any(value.kind != "text" for value in code.values)
    arguments = ["const double *row"] + ["const char *const *texts"] * code.reads_texts
    arguments += ["int *bits"] * program.decision.gives_bits + ["double *sums"] * program.decision.adds_weights
    yield f"{'int' if program.decision.gives_class else 'void'} predict({', '.join(arguments)}) {{"
    if not has_numbers:
        yield "    (void)row;"
    for value in code.values:
        if value.kind == "loose" and value.texts:
            yield from _list_wordings(value)
        yield f"    {_read_value(value)} {_write_note(value.label)}"
    for atom in code.derived:
        yield f"    const int {code.name_derived(atom)} = {code.write_derived(atom, '    ')};"
    if program.decision.takes_first:
        for number, rule in enumerate(program.class_rules, 1):
            yield f"    if ({code.write_body(rule, '    ')}) return {rule.head}; /* rule {number} */"
        yield f"    return {-1 if program.default is None else program.default};"
    elif program.decision.gives_bits:
        for place, (name, atom) in enumerate(program.outputs):
            yield f"    bits[{place}] = {code.write_literal(atom)}; {_write_note(name)}"
        if not program.outputs:
            yield "    (void)bits;"
    else:
        yield from _write_sums(code)
    yield "}"


def _read_value(value: Value) -> str:
    if value.kind == "text":
        return f"const char *const {value.name} = texts[{value.place}];"
    if value.kind == "loose" and value.texts:
        tables = f"known_{value.name}, spellings_{value.name}, {_write_text(_name_other(value.texts))}"
        return f"const char *const {value.name} = wording(texts[{value.place}], row[{value.place}], {tables});"
    if value.kind == "loose":
        return f"const double {value.name} = spelled(texts[{value.place}], row[{value.place}]);"
    return f"const double {value.name} = {'(float)' * (value.kind == 'float32')}row[{value.place}];"


def _list_wordings(value: Value) -> Iterator[str]:
    """What a column of kind `loose` is compared with: texts, how they fold, and the numbers that some of them spell."""
    folded = [text.lower().replace(" ", "_") for text in value.texts]
    yield f"    static const Known known_{value.name}[] = {{"
    for text, fold in zip(value.texts, folded, strict=True):
        yield f"        {{{_write_text(text)}, {_write_text(fold) if folded.count(fold) == 1 else 'NULL'}}},"
    yield "        {NULL, NULL}};"
    yield f"    static const Spelling spellings_{value.name}[] = {{"
    for number, text in _list_spellings(value.texts):
        yield f"        {{{_write_number(number)}, {_write_text(text)}}},"
    yield "        {0, NULL}};"


def _list_spellings(texts: Sequence[str]) -> Iterator[tuple[float, str]]:
    """The numbers that texts spell, each with its text: its own `repr`, or else the integer that it equals."""
    numbers = []
    for text in texts:
        try:
            numbers.append(float(text))
        except ValueError:
            continue
    numbers += [-number for number in numbers if number == 0]
    for own in dict.fromkeys(map(repr, numbers)):
        number = float(own)
        whole = str(int(number)) if math.isfinite(number) and number == int(number) else own
        if text := next((spelling for spelling in (own, whole) if spelling in texts), ""):
            yield number, text


def _name_other(texts: Sequence[str]) -> str:
    """A text that is none of these."""
    return next(other for n in count() if (other := "?" * n) not in texts)


def _write_sums(code: Code) -> Iterator[str]:
    program = code.program
    votes = program.decision.gives_class
    for output, start in enumerate(program.full_base):
        yield f"    sums[{output}] = {_write_number(start)};"
    if not program.classes:
        yield "    (void)sums;"
    if votes:
        yield "    int fired = 0;"
    for number, rule in enumerate(program.class_rules, 1):
        yield f"    if ({code.write_body(rule, '    ')}) {{ /* rule {number} */"
        for output, weight in rule.votes:
            yield f"        sums[{output}] += {_write_number(weight)};"
        if votes:
            yield "        fired = 1;"
        yield "    }"
    if votes:
        yield f"    if (!fired) return {-1 if program.default is None else program.default};"
        yield "    int best = 0;"
        yield f"    for (int i = 1; i < {len(program.classes)}; i++) {{"
        yield "        if (sums[i] > sums[best]) best = i;"
        yield "    }"
        yield "    return best;"
