"""Files that no front end takes but that can be told from their first bytes, and what to do instead."""

import pickletools
import re
from os import PathLike
from pathlib import Path

from eric_fast.frontends.front_end import peek_file

_PICKLED = (
    "is pickled, and unpickling runs code that is in the file: load it where you trust it, "
    "and give the object to eric_fast.load, or save it in its library's own format"
)
_DUMPED = "lacks what answers need; save the model itself by save_model"
_EXPORTED = "that eric_fast wrote for others to run; give the model or the program that it was converted from"
_KNOWN = (  # how a file starts, as a regular expression; what it is, and the remedy
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ\0|\x28\xb5\x2f\xfd", "is compressed; decompress it first"),
    (rb"PK\x03\x04", "is a zip archive, as torch.save writes; give a model or a program"),
    (rb"\xff\xfe|\xfe\xff", "is UTF-16 text; save it as UTF-8"),
    (rb"CBM1", "is CatBoost's binary format; save it by save_model(path, format='json')"),
    (
        rb"(?s)(?:binf|bs64)|.{0,400}[\x06\x08\x04]\0{7}(?:gbtree|gblinear|dart)",
        "is XGBoost's old binary format; load it in XGBoost 2 or older and save it by save_model('model.json')",
    ),
    (rb"booster\[0\]:|0:\[.*yes=|\s*\[\s*\{\s*\"nodeid\"", f"is XGBoost's dump_model, which {_DUMPED}"),
    (rb"\s*\{\s*\"name\"\s*:\s*\"tree\"\s*,\s*\"version\"", f"is LightGBM's dump_model, which {_DUMPED}"),
    (
        rb"\s*\{\s*\"threshold_type\"\s*:",
        "is treelite's dump_as_json, which treelite doesn't read either; save the model by serialize",
    ),
    (rb":- encoding\(utf8\)\.\s+% Load this file and then the facts", f"is Prolog {_EXPORTED}"),
    (rb"(?:\"\"\"|/\* )A logic program as one function, written by eric_fast", f"is code {_EXPORTED}"),
    (rb"(?s).{4}\0{4}\{\"", "holds tensors, such as a network's weights; give them to eric-fast capture"),
    (rb"\x93NUMPY|PAR1|ARROW1", "is a table, not a model"),
)


def describe_untaken(path: str | PathLike[str]) -> str | None:
    """What a file is and what to do instead, as the rest of a sentence; None if it may be a model or a program."""
    if Path(path).is_dir():
        return "is a folder; give the path of a file"
    head = peek_file(path)
    if not head:
        return "is empty" if Path(path).is_file() else None
    if _is_pickled(path, head):
        return _PICKLED
    return next((what for start, what in _KNOWN if re.match(start, head)), None)


def _is_pickled(path: str | PathLike[str], head: bytes) -> bool:
    """Whether it is a pickle of any protocol or one of joblib's formats, by its first bytes or its suffix."""
    if Path(path).suffix.lower() in (".pkl", ".pickle", ".joblib"):
        return True
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return True
    if re.match(rb"c[\w.]+\n\w+\n", head):  # protocols 0 and 1 have no mark: a class comes first, or
        return True
    try:
        *_, (last, _, place) = pickletools.genops(head)  # all is as pickle writes it, and ends where the file does
    except ValueError:
        return False
    return last.name == "STOP" and place == len(head) - 1 > 0
