"""The operator `eric_fast::evaluate_rules`, by which compiled and exported networks run the same kernels.

It takes a program by a key. A process that doesn't know the key, as one that loads an exported network, reads the
program's text, which the network carries along as a tensor of bytes.
"""

import hashlib
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from eric_fast.module.head import RuleHead
from eric_fast.text import parse_program, print_program

_heads: WeakValueDictionary[str, RuleHead] = WeakValueDictionary()  # of modules
_read: dict[str, RuleHead] = {}  # from texts: nothing else holds them


class Registered(NamedTuple):
    """key: of a head. text: uint8 `[n_bytes]`, its program as UTF-8."""

    key: str
    text: Tensor


def register_head(head: RuleHead) -> Registered:
    """Let the operator find a head for as long as that lives."""
    text = print_program(head.program).encode()
    key = hashlib.sha256(
        f"{head.start}\n{head.evaluator.engine}\n{head.evaluator.plan.generate}\n".encode() + text
    ).hexdigest()
    _heads[key] = head
    return Registered(key, torch.from_numpy(np.frombuffer(text, np.uint8).copy()))


@torch.library.custom_op("eric_fast::evaluate_rules", mutates_args=())
def evaluate_rules(
    x: Tensor, text: Tensor, key: str, start: str, engine: str, generate: bool, n_classes: int
) -> Tensor:
    """`RuleHead.evaluate` of the head with this key; the rest says how to make one, and how wide its result is."""
    head = _heads.get(key) or _read.get(key)
    if head is None:
        program = parse_program(text.cpu().numpy().tobytes().decode())
        head = _read[key] = RuleHead(program, start, engine, generate=generate)
    return head.evaluate(x)


@evaluate_rules.register_fake
def _shape_result(x: Tensor, text: Tensor, key: str, start: str, engine: str, generate: bool, n_classes: int) -> Tensor:
    return x.new_empty(x.shape[0], n_classes, dtype=torch.float32)
