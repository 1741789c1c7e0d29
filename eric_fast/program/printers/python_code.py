"""`Program` to Python that depends on nothing: a function that answers for one row."""

from collections.abc import Iterator, Sequence

from eric_fast.program.data import ProgramData
from eric_fast.program.decision import Decision
from eric_fast.program.printers.code import Code, Syntax, Value

_ANSWERS = {
    Decision.FIRST: (
        "The class of a row, that of the first rule that fires: one of CLASSES, or {default} where none does."
    ),
    Decision.VOTE: "The class of a row, that of the highest sum, the first of equals; {default} where no rule fires.",
    Decision.SUM: "The sums of a row, one for each of CLASSES.",
    Decision.LABELS: "Whether each of CLASSES is true of a row: where its sum is above 0.",
    Decision.BITS: "Whether each of OUTPUTS is true of a row.",
}
_NUMBER = '''\
def number(value):
    """A number; NaN where it is missing."""
    return math.nan if value is None else float(value)
'''
_SINGLE = '''\
def single(value):
    """A number as 32 bits hold it; NaN where it is missing."""
    value = math.nan if value is None else float(value)
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
'''
_TEXT = '''\
def text(value, texts):
    """A text, or the one of these that spells a number; None where it is missing."""
    if value is None or value != value:
        return None
    spellings = [str(value)]
    if isinstance(value, bool):
        spellings += [spellings[0].lower(), str(int(value))]
    elif isinstance(value, float) and value.is_integer():
        spellings.append(str(int(value)))
    return next((spelling for spelling in spellings if spelling in texts), spellings[0])
'''
_WORDING = '''\
def wording(value, texts):
    """The one of these texts that a text stands for: its equal, or the only one but for case, spaces and underlines."""
    value = text(value, texts)
    if value is None or value in texts:
        return value
    alike = [other for other in texts if fold(other) == fold(value)]
    return alike[0] if len(alike) == 1 else value


def fold(value):
    return value.lower().replace(" ", "_")
'''
_SPELLED = '''\
def spelled(value):
    """A number, or the one that a text spells; NaN where there is none."""
    try:
        return math.nan if value is None or "_" in str(value) or not str(value).isascii() else float(value)
    except ValueError:
        return math.nan
'''
_HELPERS = {
    "float64": _NUMBER,
    "float32": _SINGLE,
    "text": _TEXT,
    "wording": _TEXT + "\n\n" + _WORDING,
    "spelled": _SPELLED,
}


def _write_number(number: float) -> str:
    return repr(float(number)) if abs(number) != float("inf") else f"{'-' * (number < 0)}math.inf"


def _write_set(constant: Sequence[float | str]) -> str:
    items = [ascii(value) if isinstance(value, str) else _write_number(value) for value in constant]
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


_SYNTAX = Syntax(
    conjunction=" and ",
    disjunction=" or ",
    negation="not {}",
    true="True",
    false="False",
    compare=lambda name, operator, constant: f"{name} {operator} {_write_number(constant)}",
    among=lambda name, constant, is_text: f"{name} in {_write_set(constant)}",
    lacks=lambda name, is_text: f"{name} is None" if is_text else f"{name} != {name}",
)


def print_python(program: ProgramData) -> str:
    """The program as Python 3 without dependencies: `predict(row)`, and `add_up(row)` where classes have sums.

    A row holds one sample: the values of the columns in their order, None or NaN where missing; or the norms of the
    kernels of the lowest layer. The answer is the program's: the name of a class or None, a list of sums, or a list of
    bools. What a `RuleModel` makes of sums, probabilities or an average, isn't among it.
    """
    code = Code(program, _SYNTAX)
    kinds = {_choose_helper(value) for value in code.values}
    kinds -= {"text"} if "wording" in kinds else set()
    imports = {"import math"} if kinds & {"float64", "float32", "spelled"} else set()
    imports |= {"import struct"} if "float32" in kinds else set()
    body = "\n".join(_write_functions(code))
    imports |= {"import math"} if "math." in body else set()
    sections = [
        '"""A logic program as one function, written by eric_fast."""',
        "\n".join(sorted(imports)),
        "\n\n".join(_write_names(code)),
        *(_HELPERS[kind].rstrip("\n") for kind in sorted(kinds)),
        body,
    ]
    head = "\n\n".join(text for text in sections[:3] if text)
    return "\n\n\n".join([head, *(text for text in sections[3:] if text)]) + "\n"


def _choose_helper(value: Value) -> str:
    """Which of the helpers reads it."""
    if value.kind != "loose":
        return value.kind
    return "wording" if value.texts else "spelled"


def _write_names(code: Code) -> Iterator[str]:
    yield _write_tuple("COLUMNS" if code.columns else "KERNELS", code.labels)
    names, texts = code.name_answers()
    yield _write_tuple(names.upper(), texts)


def _write_tuple(name: str, texts: Sequence[str]) -> str:
    if not texts:
        return f"{name} = ()"
    return "\n".join([f"{name} = (", *(f"    {text!a}," for text in texts), ")"])


def _write_functions(code: Code) -> Iterator[str]:
    program = code.program
    default = "None" if program.default is None else f"CLASSES[{program.default}]"
    answer = _ANSWERS[program.decision].format(default=default)
    row = "COLUMNS" if code.columns else "KERNELS"
    doc = f'    """{answer}\n\n    row: a value for each of {row}.\n    """'
    if program.decision is Decision.VOTE:
        yield "def add_up(row):"
        yield '    """The sums of a row, one for each of CLASSES, and whether some rule fires."""'
        yield from _write_atoms(code)
        yield from _write_sums(code, fired=True)
        yield "    return sums, fired"
        yield "\n\ndef predict(row):"
        yield doc
        yield "    sums, fired = add_up(row)"
        yield f"    return CLASSES[sums.index(max(sums))] if fired else {default}"
        return
    yield "def predict(row):"
    yield doc
    yield from _write_atoms(code)
    if program.decision.takes_first:
        for number, rule in enumerate(program.class_rules, 1):
            yield f"    if {code.write_body(rule, '    ')}:  # rule {number}"
            yield f"        return CLASSES[{rule.head}]  # {program.classes[rule.head]!a}"
        yield f"    return {default}"
    elif program.decision.adds_weights:
        yield from _write_sums(code, fired=False)
        yield "    return [total > 0 for total in sums]" if program.decision.gives_labels else "    return sums"
    else:
        yield "    return ["
        yield from (f"        {code.write_literal(atom)},  # {name!a}" for name, atom in program.outputs)
        yield "    ]"


def _write_atoms(code: Code) -> Iterator[str]:
    """What is read, and what is derived from it."""
    for value in code.values:
        helper = {"float64": "number", "float32": "single"}.get(_choose_helper(value), _choose_helper(value))
        texts = f", {_write_set(value.texts)}" if helper in ("text", "wording") else ""
        yield f"    {value.name} = {helper}(row[{value.place}]{texts})"
    for atom in code.derived:
        yield f"    {code.name_derived(atom)} = {code.write_derived(atom, '    ')}"


def _write_sums(code: Code, *, fired: bool) -> Iterator[str]:
    program = code.program
    yield f"    sums = [{', '.join(map(_write_number, program.full_base))}]"
    if fired:
        yield "    fired = False"
    for number, rule in enumerate(program.class_rules, 1):
        yield f"    if {code.write_body(rule, '    ')}:  # rule {number}"
        for output, weight in rule.votes:
            yield f"        sums[{output}] += {_write_number(weight)}"
        if fired:
            yield "        fired = True"
