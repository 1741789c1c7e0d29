"""PTX as text: instructions, and the blocks of them that run without a jump or a barrier."""

import re
from dataclasses import dataclass

# What ends a block: threads may go different ways after it, or wait.
ENDS = ("bra", "bar", "barrier", "ret", "exit")


@dataclass(frozen=True)
class Instruction:
    """One instruction: `@!%p1 ld.global.v2.b32 {%r1, %r2}, [%rd3 + 8];`.

    Attributes:
        line: its number in the text, from 1.
        predicate: `!%p1`, or None.
        opcode: `ld.global.v2.b32`. operands: `{%r1, %r2}` and `[%rd3 + 8]`.
    """

    line: int
    predicate: str | None
    opcode: str
    operands: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The opcode at its dots: its name and what modifies it."""
        return tuple(part.removeprefix(":") for part in re.split(r"\.|(?=::)", self.opcode) if part)


@dataclass(frozen=True)
class Routine:
    """A kernel's code.

    Attributes:
        name: of the kernel. n_threads: of a block.
        parameters: their names, in order.
        blocks: instructions that run one after another. labels: a label -> the block that it is in front of.
    """

    name: str
    n_threads: int
    parameters: tuple[str, ...]
    blocks: tuple[tuple[Instruction, ...], ...]
    labels: dict[str, int]


def parse_ptx(text: str) -> Routine:
    """Read the one kernel of a PTX module; what isn't an instruction of it is left out."""
    head, _, rest = text.partition("\n{\n")
    body, closed, _ = rest.partition("\n}\n")
    name = re.search(r"\.visible \.entry (\w+)\(", head)
    threads = re.search(r"\.reqntid (\d+)", head)
    if name is None or threads is None or not closed:
        raise ValueError("the PTX has no kernel with .reqntid, or no end")
    first_line = head.count("\n") + 3
    blocks: list[list[Instruction]] = [[]]
    labels = {}
    for number, line in enumerate(body.splitlines(), first_line):
        for statement in filter(None, (part.strip() for part in _split_statements(line))):
            if label := re.fullmatch(r"(\$?[\w$]+):", statement):
                blocks.append([])
                labels[label[1]] = len(blocks) - 1
            elif not statement.startswith("."):
                instruction = _parse_instruction(number, statement)
                blocks[-1].append(instruction)
                if instruction.parts[0] in ENDS:
                    blocks.append([])
    parameters = re.findall(r"\.param [^\n]*?(\w+)(?:\[\d+\])?,?\n", head)
    return Routine(name[1], int(threads[1]), tuple(parameters), tuple(map(tuple, blocks)), labels)


def _split_statements(line: str) -> list[str]:
    """A line's statements, without comments; braces of a scope on their own are none."""
    code = line.partition("//")[0].strip()
    if code in ("{", "}"):
        return []
    return code.split(";") if ";" in code else [code]


def _parse_instruction(number: int, statement: str) -> Instruction:
    found = re.fullmatch(r"(?:@(!?%p\d+)\s+)?([\w.:]+)\s*(.*)", statement)
    if found is None:
        raise ValueError(f"line {number} of the PTX is no instruction: {statement}")
    operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", found[3])
    return Instruction(number, found[1], found[2], tuple(operand.strip() for operand in operands))
