"""`Program`: a stratified logic program over a network's kernels or a table's columns, immutable and validated."""

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eric_fast.errors import ProgramError, SettingError, say_count
from eric_fast.program.atoms import Quantiser
from eric_fast.program.data import ProgramData, atom_of, map_literals
from eric_fast.program.label_programs import find_label_parts
from eric_fast.program.layer_graph import StartLayers, name_start
from eric_fast.program.printers.aiger import print_aiger
from eric_fast.program.printers.c_code import print_c
from eric_fast.program.printers.onnx_rules import print_onnx
from eric_fast.program.printers.printer import print_program
from eric_fast.program.printers.prolog import print_prolog
from eric_fast.program.printers.python_code import print_python
from eric_fast.program.table_atoms import TableQuantiser
from eric_fast.program.validate import check_texts, validate_program
from eric_fast.program.words import tabulate_class_rules, tabulate_kernel_rules
from eric_fast.results.described import Described, name_span
from eric_fast.results.tabular import make_frame

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Program(Described, ProgramData):
    """A stratified logic program: everything that its text file holds, validated; see `ProgramData` for its attributes.

    Raises:
        ProgramError: anything that the text format can't hold or that has no meaning, a cycle included.

    Examples:
        >>> quantiser = ef.Quantiser((ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("f", 1, ">", 0.5)))
        >>> rules = (ef.ClassRule(0, (0, ~1)), ef.ClassRule(1, (1,)))
        >>> ef.Program(quantiser, ("cat", "dog"), rules, default=0)
        <Program: 2 class rules, 0 other rules, 3 literals, 2 classes, layer f>
    """

    def list_facts(self) -> Iterator[str]:
        yield say_count(len(self.class_rules), "class rule")
        yield say_count(len(self.kernel_rules), "other rule")
        yield say_count(self.n_literals, "literal")
        yield say_count(len(self.classes), "class")
        yield name_span(self.layers, "layer")

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_program(self)

    @property
    def network_quantiser(self) -> Quantiser:
        """The quantiser of a program over a network. Raises ProgramError for a program over a table."""
        if isinstance(self.quantiser, TableQuantiser):
            raise ProgramError("this program is over the columns of a table, not over the kernels of a network")
        return self.quantiser

    @property
    def table_quantiser(self) -> TableQuantiser:
        """The quantiser of a program over a table. Raises ProgramError for a program over a network."""
        if isinstance(self.quantiser, TableQuantiser):
            return self.quantiser
        if self.quantiser.atoms:
            raise ProgramError("this program is over the kernels of a network, not over the columns of a table")
        return TableQuantiser((), ())

    def expect_class(self, what: str) -> None:
        """Raise ProgramError unless the answer is a class; `what` needs it: `a report`."""
        if not self.decision.gives_class:
            remedy = "; take one label of it, with --label (Program.select_label)" * self.decision.gives_labels
            raise ProgramError(
                f"{what} needs a program that answers with a class, but this one's decision is "
                f"'{self.decision}'{remedy}"
            )

    def with_settings(self, settings: Iterable[tuple[str, str]]) -> "Program":
        """The same program with other settings. Only these are checked again, which saves time for large forests.

        Raises:
            ProgramError: a key that stands twice, or a character that the text format can't hold.
        """
        changed = copy(self)
        object.__setattr__(changed, "settings", tuple(settings))
        check_texts(changed)
        return changed

    def layer_to_start(self, start: StartLayers = None) -> str:
        """The start in its plain form: a layer, or several with commas between, such as `wide,slim`.

        Args:
            start: a layer, for it with what runs beside it; several layers that every path crosses, as a list or with
                commas between; None for the lowest.

        Raises:
            ProgramError: no such layer, or a path to the classes avoids these; it is named.
        """
        return name_start(self.graph.find_start(start))

    def list_given(self, start: StartLayers = None) -> Sequence[int]:
        """The atoms of the layers whose bits are given from a start, ascending."""
        rows = self.quantiser.rows_of_layer
        parts = [rows[layer] for layer in self.graph.find_start(start)] if self.layers else [range(0)]
        return parts[0] if len(parts) == 1 else [atom for part in parts for atom in part]

    def layers_from(self, start: StartLayers = None) -> tuple[str, ...]:
        """The layers of a start, and those that follow from them."""
        return self.graph.take_above(self.graph.find_start(start)).layers

    def list_derivable(self, start: StartLayers = None) -> Collection[int]:
        """The atoms that follow from the bits of a start, ascending: those of higher layers, and derived ones.

        Derived atoms that build on lower layers are left out, unless a rule that stays mentions them: they are
        exceptions to rules that go.
        """
        cut = self.graph.find_start(start) if self.layers else ()
        if cut == self.graph.lowest:
            return range(self.n_given, len(self.atoms))
        n_compared = len(self.quantiser.atoms)
        derived = range(n_compared, len(self.atoms))
        above = [atom for layer in self.graph.list_above(cut) for atom in self.quantiser.rows_of_layer[layer]]
        if not derived:
            return dict.fromkeys(above).keys()
        low = set(range(n_compared)).difference(above, self.list_given(cut))
        needed: set[int] = set()
        staying = (rule for head in above for rule in self.rules_of_atom.get(head, ()))
        new = {atom_of(literal) for rule in (*self.class_rules, *staying) for literal in rule.body}
        new |= {atom for _, atom in self.outputs}
        while new := new.intersection(derived) - needed:
            needed |= new
            new = {atom_of(lit) for atom in new for rule in self.rules_of_atom.get(atom, ()) for lit in rule.body}
        for atom in (atom for stratum in self.strata for atom in stratum if atom in derived):
            if any(atom_of(literal) in low for rule in self.rules_of_atom[atom] for literal in rule.body):
                low.add(atom)
        staying_derived = (atom for atom in derived if atom in needed or atom not in low)
        return dict.fromkeys([*above, *staying_derived]).keys()

    def list_starts(self) -> list[str]:
        """The starts that have class rules: the program's own, or else one for each layer, the lowest first."""
        return [name_start(cut) for cut in self.starts or self.graph.list_cuts()]

    def find_index(self, start: StartLayers = None) -> int:
        """The place of a start among those with class rules of their own.

        Raises:
            ProgramError: no such layer, or there are class rules for other starts alone.
        """
        cut = self.graph.find_start(start)
        if cut in self.starts:
            return self.starts.index(cut)
        others = ", ".join(f"'{name}'" for name in self.list_starts())
        raise ProgramError(f"the program has no class rules for start '{name_start(cut)}', only for {others}")

    def select_start(self, start: StartLayers = None) -> "Program":
        """The program with the class rules and the base of one start, the lowest by default, for every start.

        Raises:
            ProgramError: no such layer, or the program has class rules for other starts alone.
        """
        if not self.starts:
            return self
        index = self.find_index(start)
        return replace(
            self,
            class_rules=tuple(replace(rule, start=None) for rule in self.class_rules if rule.start in (None, index)),
            base=self.start_bases[index] if self.start_bases else self.base,
            starts=(),
            start_bases=(),
        )

    def select_label(self, label: str) -> "Program":
        """The program of one label of several, with two classes, `not LABEL` and the label, which vote.

        Raises:
            ProgramError: no such label; a program that answers with something else, or has class rules for some starts.
        """
        if not self.decision.gives_labels:
            raise ProgramError(f"a program whose decision is '{self.decision}' has no labels")
        if self.starts:
            raise ProgramError("the program has class rules for some starts alone; take one with select_start first")
        return replace(self, **find_label_parts(self, label))  # type: ignore[arg-type]

    def start_at(self, start: StartLayers = None) -> "Program":
        """The program that takes the bits of a start as given: no rules for its layers or below, no atoms below.

        Its class rules and base are those of this start.

        Raises:
            ProgramError: no such start, or a rule that stays mentions a kernel below it.
        """
        if self.starts:
            return self.select_start(start).start_at(start)
        name, cut = self.layer_to_start(start), self.graph.find_start(start)
        if cut == self.graph.lowest:
            return self
        derivable = self.list_derivable(cut)
        kept = dict.fromkeys([*self.list_given(cut), *derivable])
        staying = [rule for rule in self.kernel_rules if rule.head in derivable]
        bodies = [(f"class rule {number}", rule.body) for number, rule in enumerate(self.class_rules, 1)]
        bodies += [(f"a rule for {self.atoms[rule.head].name}", rule.body) for rule in staying]
        for what, body in bodies:
            for atom in map(atom_of, body):
                if atom not in kept:
                    raise ProgramError(
                        f"can't start at '{name}': {what} mentions {self.atoms[atom].name} of a lower layer; "
                        f"start at '{self.atoms[atom].layer}' or lower"
                    )
        return self.select_atoms(list(kept), derivable, edges=self.graph.take_above(cut).edges)

    def select_atoms(self, atoms: Sequence[int], heads: Container[int], **changes: Any) -> "Program":
        """The program of these atoms alone, in this order, with the rules for `heads` among them.

        Args:
            atoms: those that outputs and the rules that stay mention, at least; those of the quantiser first.
            changes: other fields that differ.
        """
        place_of = {atom: place for place, atom in enumerate(atoms)}
        compared = [atom for atom in atoms if atom < len(self.quantiser.atoms)]
        quantiser = self.quantiser
        if compared != list(range(len(quantiser.atoms))):
            own = self.network_quantiser
            quantiser = Quantiser(tuple(own.atoms[atom] for atom in compared), own.norm)
        return replace(
            self,
            quantiser=quantiser,
            class_rules=self.class_rules
            if all(atom == place for atom, place in place_of.items())
            else tuple(replace(rule, body=map_literals(rule.body, place_of)) for rule in self.class_rules),
            kernel_rules=tuple(
                replace(rule, head=place_of[rule.head], body=map_literals(rule.body, place_of))
                for rule in self.kernel_rules
                if rule.head in heads
            ),
            negated=tuple(place_of[atom] for atom in self.negated if atom in heads),
            labels=tuple((place_of[atom], label) for atom, label in self.labels if atom in place_of),
            derived=tuple(self.atoms[atom].name for atom in atoms[len(compared) :]),
            outputs=tuple((name, place_of[atom]) for name, atom in self.outputs),
            **changes,
        )

    def list_rules(self, *, of: str = "classes") -> "pandas.DataFrame":
        """The rules as a data frame of pandas, a row each, in their order.

        Its columns are `rule` (its number, from 1) and `class`; `conditions`, in words; `support`, the training images
        that it covers; `coverage`, as a share of all; `confidence`, and 95 % of it (Wilson), `confidence_low` and
        `confidence_high`; `weight`, what it adds. Where rules add to several classes, `class` and `weight` are those
        to which one adds most, and `votes` says all; support and confidence are then missing, unless that class is the
        rule's head. Where rules are for one start alone, `start` says which. What is not known is missing.

        Args:
            of: `classes`, or `kernels`: then `kernel`, and `value`, what the rule says of it, stand in the place of
                `rule`, `class` and `weight`.

        Raises:
            EricError: pandas is not installed. SettingError: neither `classes` nor `kernels`.
        """
        if of not in ("classes", "kernels"):
            raise SettingError(f"rules are of 'classes' or 'kernels', not of '{of}'")
        return make_frame(tabulate_class_rules(self) if of == "classes" else tabulate_kernel_rules(self))

    def to_asp(self) -> str:
        """The program as `save_program` writes it: ASP that `parse_program` reads back, and clingo answers."""
        return print_program(self)

    def to_aiger(self) -> str:
        """The program, from its lowest layer, as an ASCII AIGER file; see `print_aiger`.

        Raises:
            ProgramError: it adds weights, which AIGER can't.
        """
        return print_aiger(self.select_start())

    def to_onnx(self) -> bytes:
        """The program, from its lowest layer, as an ONNX model of plain operators; see `print_onnx`.

        Raises:
            ProgramError: see there.
        """
        return print_onnx(self.select_start())

    def to_prolog(self) -> str:
        """The program, from its lowest layer, as Prolog that SWI-Prolog runs; its first lines say how."""
        return print_prolog(self.select_start())

    def to_python(self) -> str:
        """The program, from its lowest layer, as Python 3 without dependencies: a function `predict(row)`."""
        return print_python(self.select_start())

    def to_c(self) -> str:
        """The program, from its lowest layer, as C99: a function `predict`; its first lines say how it is called."""
        return print_c(self.select_start())
