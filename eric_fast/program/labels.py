"""Labels: names that a person gives to atoms, which a program's file keeps and every output shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eric_fast.errors import ProgramError, SettingError
from eric_fast.program import Program


def label_atoms(program: Program, labels: Mapping[int, str] | Mapping[str, str]) -> Program:
    """The program with these labels on top of those that it has; an empty one takes a label away.

        label_atoms(program, {"features.19:207": "wheels"})

    Args:
        labels: an atom's index, or its name or present label (see `Program.atom_named`) -> its label.

    Raises:
        ProgramError: there is no such atom, or the text format can't hold a character.

    Examples:
        >>> program = ef.label_atoms(ef.parse_program(PETS), {"f:0": "whiskers"})
        >>> program.labels
        ((0, 'whiskers'),)
    """
    named = {atom if isinstance(atom, int) else program.atom_named(atom): label for atom, label in labels.items()}
    new = {**program.label_of_atom, **named}
    return replace(program, labels=tuple((atom, label) for atom, label in new.items() if label))


def name_units(program: Program, names: Sequence[str]) -> Program:
    """The program whose atoms are labelled with the names of their units; `age@negative` where it has several atoms.

    Args:
        names: of the units of all layers; a name that the text format can't hold is left out.
    """
    labels = {}
    for number, atom in enumerate(program.network_quantiser.atoms):
        name = names[atom.column] if atom.column < len(names) else ""
        if name and name.isprintable():
            labels[number] = name + (f"@{atom.region}" if atom.region else "")
    return label_atoms(program, labels)


def parse_labels(program: Program, assignments: Sequence[str]) -> dict[int, str]:
    """`features_19_17=wheels`, `features.19:17=wheels`, `features.19:17=` as atom index -> label.

    Everything after the first `=` before which a kernel is named is the label, without spaces around it.

    Raises:
        SettingError: there is no `=`, or a kernel is given twice. ProgramError: there is no such kernel.
    """
    labels: dict[int, str] = {}
    for assignment in assignments:
        atom, label = _split(program, assignment)
        if atom in labels:
            raise SettingError(f"{program.atoms[atom].name} has two labels; give it one")
        labels[atom] = label
    return labels


def _split(program: Program, assignment: str) -> tuple[int, str]:
    places = [i for i, character in enumerate(assignment) if character == "="]
    if not places:
        raise SettingError(f"'{assignment}' is not KERNEL=LABEL, such as features.19:17=wheels")
    errors = []
    for place in places:  # the names of a table's comparisons have = in them
        try:
            return program.atom_named(assignment[:place].strip()), assignment[place + 1 :].strip()
        except ProgramError as error:
            errors.append(error)
    raise errors[0]
