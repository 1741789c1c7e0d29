"""Circuits for tests, and their files: and-inverter graphs as AIGER of both kinds, covers as BLIF."""

import random
from collections.abc import Callable, Iterable, Sequence

Pick = Callable[[int, int], int]  # both ends included
Covers = tuple[list[str], list[str], list[tuple[str, list[str], list[str], int]]]  # see `make_covers`


class Aig:
    """An and-inverter graph: literals as AIGER has them, `2 * variable + negation`; 0 is false, 1 is true."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.gates: list[tuple[int, int]] = []  # (left, right) of each variable after the inputs
        self.outputs: list[int] = []

    def add_and(self, a: int, b: int) -> int:
        self.gates.append((max(a, b), min(a, b)))
        return 2 * (self.n_inputs + len(self.gates))

    def add_or(self, a: int, b: int) -> int:
        return self.add_and(a ^ 1, b ^ 1) ^ 1

    def add_xor(self, a: int, b: int) -> int:
        return self.add_and(self.add_and(a, b) ^ 1, self.add_or(a, b))

    def add_full(self, a: int, b: int, c: int) -> tuple[int, int]:
        """Sum and carry of three bits."""
        half = self.add_xor(a, b)
        return self.add_xor(half, c), self.add_or(self.add_and(a, b), self.add_and(half, c))

    def simulate(self, row: Iterable[bool]) -> list[bool]:
        """The outputs for one row of bools."""
        truth: list[int] = [False, *row]
        for a, b in self.gates:
            truth.append((truth[a >> 1] ^ (a & 1)) and (truth[b >> 1] ^ (b & 1)))
        return [bool(truth[literal >> 1] ^ (literal & 1)) for literal in self.outputs]

    def to_aag(self, order: Iterable[int] | None = None, symbols: str = "") -> bytes:
        """ASCII AIGER, the gates in this order."""
        first = self.n_inputs + 1
        lines = [f"aag {self.n_inputs + len(self.gates)} {self.n_inputs} 0 {len(self.outputs)} {len(self.gates)}"]
        lines += [str(2 * (i + 1)) for i in range(self.n_inputs)]
        lines += map(str, self.outputs)
        places = range(len(self.gates)) if order is None else order
        lines += [f"{2 * (first + i)} {self.gates[i][0]} {self.gates[i][1]}" for i in places]
        return ("\n".join(lines) + "\n" + symbols).encode()

    def to_aig(self, symbols: str = "") -> bytes:
        """Binary AIGER."""
        first = self.n_inputs + 1
        head = f"aig {self.n_inputs + len(self.gates)} {self.n_inputs} 0 {len(self.outputs)} {len(self.gates)}\n"
        content = bytearray((head + "".join(f"{literal}\n" for literal in self.outputs)).encode())
        for i, (a, b) in enumerate(self.gates):
            for delta in (2 * (first + i) - a, a - b):
                while delta > 127:
                    content.append(delta & 127 | 128)
                    delta >>= 7
                content.append(delta)
        return bytes(content) + symbols.encode()


def make_aig(pick: Pick) -> Aig:
    """Any; `pick` draws an integer, both ends included."""
    graph = Aig(pick(0, 6))
    for _ in range(pick(0, 12)):
        most = 2 * (graph.n_inputs + len(graph.gates)) + 1
        graph.add_and(pick(0, most), pick(0, most))
    most = 2 * (graph.n_inputs + len(graph.gates)) + 1
    graph.outputs = [pick(0, most) for _ in range(pick(0, 5))]
    return graph


def make_adder(n_bits: int) -> Aig:
    """Inputs a0, a1, ..., b0, b1, ...; the sum with its carry."""
    graph = Aig(2 * n_bits)
    carry = 0
    for i in range(n_bits):
        total, carry = graph.add_full(2 * (1 + i), 2 * (1 + n_bits + i), carry)
        graph.outputs.append(total)
    graph.outputs.append(carry)
    return graph


def make_multiplier(n_bits: int) -> Aig:
    """Inputs as the adder's; the product, lowest bit first."""
    graph = Aig(2 * n_bits)
    sums = [0] * (2 * n_bits)
    for i in range(n_bits):
        carry = 0
        for j in range(n_bits):
            partial = graph.add_and(2 * (1 + j), 2 * (1 + n_bits + i))
            sums[i + j], carry = graph.add_full(sums[i + j], partial, carry)
        sums[i + n_bits] = carry
    graph.outputs = sums
    return graph


def make_covers(pick: Pick) -> Covers:
    """Any circuit of covers: input names, output names, and of each gate its name, inputs, lines and their value."""
    names = [f"x{i}" for i in range(pick(0, 5))]
    inputs, gates = list(names), []
    for i in range(pick(1, 8)):
        sources = [names[pick(0, len(names) - 1)] for _ in range(pick(0, 4))] if names else []
        lines = ["".join("01-"[pick(0, 2)] for _ in sources) for _ in range(pick(0, 3))]
        gates.append((f"g[{i}]", sources, lines, pick(0, 1)))
        names.append(f"g[{i}]")
    return inputs, [names[i] for i in range(len(names)) if pick(0, 1)], gates


def simulate_covers(circuit: Covers, row: Sequence[bool]) -> list[bool]:
    """The outputs for one row of bools."""
    inputs, outputs, gates = circuit
    truth = dict(zip(inputs, row, strict=True))
    for name, sources, lines, value in gates:
        fits = any(
            all(c == "-" or truth[source] == (c == "1") for source, c in zip(sources, line, strict=True))
            for line in lines
        )
        truth[name] = fits == bool(value) if lines else False
    return [truth[name] for name in outputs]


def to_blif(circuit: Covers, rng: random.Random | None = None) -> bytes:
    """The file, its gates shuffled, some lines continued, with comments."""
    inputs, outputs, gates = circuit
    gates = list(gates)
    if rng is not None:
        rng.shuffle(gates)
    lines = ["# a circuit", ".model any # of any name", f".inputs {' '.join(inputs)}", ".outputs \\", " ".join(outputs)]
    for name, sources, patterns, value in gates:
        lines.append(f".names {' '.join([*sources, name])}")
        lines += [f"{pattern} {value}" for pattern in patterns]
    return "\n".join([*lines, ".end", ""]).encode()


def draw(rng: random.Random, kind: str) -> bytes:
    """A file of this kind: `aag`, `aig` or `blif`."""
    if kind == "blif":
        return to_blif(make_covers(rng.randint), rng)
    graph = rng.choice((make_aig(rng.randint), make_adder(rng.randint(1, 4)), make_multiplier(rng.randint(1, 3))))
    symbols = "i0 first\n" * (graph.n_inputs > 0) + "o0 é\n" * bool(graph.outputs) + rng.choice(("", "c\nany\n"))
    if kind == "aig":
        return graph.to_aig(symbols)
    return graph.to_aag(random.Random(0).sample(range(len(graph.gates)), len(graph.gates)), symbols)
