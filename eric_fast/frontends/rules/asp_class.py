"""Which predicate of an answer set program is the class."""

from collections.abc import Container, Iterable

from eric_fast.errors import ProgramError, suggest_nearest


def choose_class(
    source: str, heads: Iterable[tuple[str, str | None]], mentioned: Container[str], name: str | None
) -> tuple[str, bool]:
    """The predicate of the class, and whether it has a value."""
    valued = list(dict.fromkeys(head for head, value in heads if value is not None))
    plain = [head for head, value in heads if value is None]
    if name is not None:
        if name not in valued and name not in plain:
            raise ProgramError(f"{source}: no rule defines '{name}'{suggest_nearest(name, [*valued, *plain])}")
        return name, name in valued
    candidates = [head for head in valued if head not in mentioned]
    candidates = candidates or [head for head in plain if head not in mentioned] or valued or plain
    if len(candidates) == 1:
        return candidates[0], candidates[0] in valued
    if candidates:
        shown = ", ".join(f"'{head}'" for head in candidates[:8])
        raise ProgramError(
            f"{source}: several predicates could be the class; name one of them as class_predicate: {shown}"
        )
    raise ProgramError(f"{source}: no rule; expected rules such as class(X,'a') :- not ab1(X).")
