"""How what a page prints differs from what a run prints, and what it is to print then; see `tests.page_blocks`."""

import re
from itertools import groupby

_TIME = re.compile(r"\d[\d,.]*(?= (?:s|ms|images/s|images a second|rows a second|kB|MB|GB)\b)")
_LEARNED = re.compile(
    r" +[│├╰]|[│├╰]|\.\.\. and |\s*(?:rule|support)[ (]|.* if  |    |\S+ = "
)  # lines of rules, proofs and tables
_NUMBER = re.compile(r"<?[-+]?\d[\d,.]*(?:e[-+]?\d+)?")
_BOX = re.compile(r"[─━]+|[ \t]+")


def find_difference(wanted: str, found: str, *, masked: bool) -> str:
    """What a page prints and a run doesn't; empty if they agree."""
    pattern_lines, lines = (
        [_normalise(line, masked) for line in text.strip("\n").splitlines() if not (masked and _LEARNED.match(line))]
        for text in (wanted, found)
    )
    pattern = ""
    for line in pattern_lines:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            cut = line.endswith(" ...")
            pattern += re.escape(line.removesuffix(" ...")) + (r"[^\n]*\n" if cut else r"\n")
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)):
        return ""
    return f"the page prints:\n{wanted}\nthe run prints:\n{found}"


def renew_output(wanted: str, found: str, *, masked: bool) -> str:
    """What a page is to print after a run: numbers that aren't compared are new, and what `...` stands for stays out.

    Where times alone differ, nothing is new.
    """
    if not find_difference(wanted, found, masked=False):
        return wanted
    if find_difference(wanted, found, masked=masked):
        return found
    lines = found.strip("\n").splitlines()
    parts = re.split(r"^ *\.\.\. *\n", wanted.strip("\n") + "\n", flags=re.MULTILINE)
    patterns = [
        _match_part(part.splitlines(), number > 0, number < len(parts) - 1) for number, part in enumerate(parts)
    ]
    keys = "".join(f"{_find_key(line)}\n" for line in lines)
    match = re.fullmatch(r"(?:[^\n]*\n)*?".join(f"({pattern})" for pattern in patterns), keys)
    if match is None:
        return found
    kept = []
    for number, part in enumerate(parts, 1):
        first, end = (keys.count("\n", 0, place) for place in match.span(number))
        fixed = iter([line for line in part.splitlines() if not _LEARNED.match(line)])
        kept.append(
            "".join(f"{line if _LEARNED.match(line) else _cut(line, next(fixed))}\n" for line in lines[first:end])
        )
    return "...\n".join(kept)


def _find_key(line: str) -> str:
    """What stays of a line that isn't compared wholly: its kind if it was learned, else all but its numbers."""
    learned = _LEARNED.match(line)
    return f"learned {_NUMBER.sub('#', learned[0])}" if learned else _normalise(line, masked=True)


def _match_part(lines: list[str], follows_gap: bool, precedes_gap: bool) -> str:
    """A pattern of the keys of lines between two `...`. Learned lines may be more or fewer, but not beside a `...`."""
    pattern = ""
    runs = [(is_learned, list(run)) for is_learned, run in groupby(lines, lambda line: bool(_LEARNED.match(line)))]
    for place, (is_learned, run) in enumerate(runs):
        if is_learned and not (place == 0 and follows_gap) and not (place == len(runs) - 1 and precedes_gap):
            pattern += r"(?:learned [^\n]*\n)*"
        else:
            ends = ((re.escape(_find_key(line.removesuffix(" ..."))), line.endswith(" ...")) for line in run)
            pattern += "".join(key + (r"[^\n]*\n" if is_cut else r"\n") for key, is_cut in ends)
    return pattern


def _cut(line: str, like: str) -> str:
    """A line, with as many words as a page shows of it."""
    words = re.match(r"\s*" + r"\S+\s+" * (len(like.split()) - 1), line) if like.endswith(" ...") else None
    return f"{words[0].rstrip()} ..." if words else line


def _normalise(line: str, masked: bool) -> str:
    line = _TIME.sub("#", line.rstrip())
    if masked:
        line = re.sub(r"(# [a-z ]+?)s?\b", r"\1", _BOX.sub(" ", _NUMBER.sub("#", line)).strip())  # 1 rule, 2 rules
    return line
