"""What is run: launches of the project's kernels, each compared with the reference."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch

from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.kernels import Request
from eric_fast.kernels.devices import INTERPRETED_BLOCKS
from eric_fast.kernels.gpu import count as gpu_count
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import generated as gpu_generated
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.kernels.gpu import pack_maps as gpu_maps
from eric_fast.kernels.gpu import questions as gpu_questions
from eric_fast.kernels.reference import count as reference_count
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.kernels.reference import pack_columns as reference_columns
from eric_fast.kernels.reference import pack_maps as reference_maps
from eric_fast.program import Decision, Program
from eric_fast.program.atoms import PIXEL_NORMS
from tests.engines import ask_everything, assert_equal_outcomes
from tests.make_forests import make_forest_program
from tests.make_maps import DTYPES, LAYOUTS, assert_near, make_case
from tests.make_programs import count_inputs, make_bits, make_program
from tests.make_rules import make_one_stratum, make_shared_program

N_SAMPLES = 2 * 1024 + 77  # three groups of words for two blocks: one of them goes round twice
MAP_SHAPES = {  # (n_images, n_kernels, height, width) and how they lie -> the kernel that packs them
    "pack_short": ((3, 33, 5, 5), "contiguous"),
    "pack_runs": ((3, 20, 4, 4), "contiguous"),
    "pack_runs, any strides": ((3, 5, 3, 7), "cropped"),
    "pack_pixels": ((3, 20, 3, 3), "channels-last"),
}


@dataclass(frozen=True)
class Case:
    """`run` launches kernels, and raises AssertionError unless they answer as the reference."""

    name: str
    run: Callable[[], None]


def make_random_program(seed: int) -> Program:
    """Any program, weight bodies among its rules."""
    return make_program(random.Random(seed).randint, with_sums=True)


def make_grove(seed: int) -> Program:
    """A forest three times over: more trees than are added at a time."""
    program = make_forest_program(seed)
    return replace(program, class_rules=tuple(program.class_rules) * 3)


MAKERS: dict[str, Callable[[int], Program]] = {
    "any": make_random_program,
    "forest": make_forest_program,
    "grove": make_grove,
    "shared": make_shared_program,
}


def ask_classes(program: Program, n_samples: int) -> Request:
    """Classes of 16 bits alone, without rules: rows may share memory."""
    return Request(rules=False, class_dtype=torch.int16)


def ask_all(program: Program, n_samples: int) -> Request:
    """Everything: classes, rules, scores, counts, rows, leaves, confusion."""
    return ask_everything(compile_program(program), n_samples)


def ask_all_but_rules(program: Program, n_samples: int) -> Request:
    """Everything but the rule that decides, which needs a kernel of its own."""
    return replace(ask_all(program, n_samples), rules=False)


def ask_rows(program: Program, n_samples: int) -> Request:
    """Rows alone: nothing is decided."""
    return Request(classes=False, rules=False, rows=range(compile_program(program).n_rows))


def ask_heads(program: Program, n_samples: int) -> Request:
    """What rules make, alone: it may lie where inputs were, which the next group of words then writes."""
    plan = compile_program(program)
    return Request(classes=False, rules=False, rows=range(plan.n_inputs, plan.n_rows))


def ask_classes_and_heads(program: Program, n_samples: int) -> Request:
    """Rows are read after the classes, so that no change of layout stands between them and the next group of words."""
    return replace(ask_heads(program, n_samples), classes=True, class_dtype=torch.int16)


QUESTIONS: dict[str, Callable[[Program, int], Request]] = {
    "classes": ask_classes,
    "everything": ask_all,
    "all but rules": ask_all_but_rules,
    "rows": ask_rows,
    "heads": ask_heads,
    "classes and heads": ask_classes_and_heads,
}


def make_evaluation(kind: str, seed: int, question: str, n_multiprocessors: int = INTERPRETED_BLOCKS) -> Case:
    """A program of `MAKERS`, asked one of `QUESTIONS`; with many multiprocessors, blocks have few words."""

    def run() -> None:
        program = MAKERS[kind](seed)
        with mock.patch.object(gpu, "count_multiprocessors", return_value=n_multiprocessors):
            _compare_evaluation(program, QUESTIONS[question](program, N_SAMPLES), seed, N_SAMPLES)

    return Case(f"{kind} {seed}, {question}{', few words' * (n_multiprocessors > INTERPRETED_BLOCKS)}", run)


def _compare_evaluation(program: Program, request: Request, seed: int, n_samples: int) -> None:
    plan = compile_program(program)
    words = pack_bits(make_bits(random.Random(seed).randint, n_samples, count_inputs(program)))
    expected = reference.evaluate(plan, words, n_samples, request)
    assert_equal_outcomes(gpu.evaluate(plan, words, n_samples, request), expected)


def make_parts(seed: int) -> Case:
    """A program of one stratum, split over the grid."""

    def run() -> None:
        program = make_one_stratum(seed, 60).program
        with (
            mock.patch.object(gpu, "count_multiprocessors", return_value=9),
            mock.patch.object(gpu_questions, "count_multiprocessors", return_value=9),
            mock.patch.object(gpu_lower, "PART_LITERALS", 1),
        ):
            _compare_evaluation(program, ask_rows(program, 1030), seed, 1030)
            assert gpu_lower.count_parts(compile_program(program), 2, 9) == 4

    return Case(f"parts over the grid {seed}, rows", run)


def make_generated(seed: int) -> Case:
    """A program that shares work, by kernels of its own."""

    def run() -> None:
        program = replace(make_shared_program(seed), decision=Decision.FIRST)
        plan = compile_program(program, generate=True)
        words = pack_bits(make_bits(random.Random(seed).randint, N_SAMPLES, count_inputs(program)))
        for request in (ask_classes(program, N_SAMPLES), Request(rows=range(plan.n_rows))):
            expected = reference.evaluate(plan, words, N_SAMPLES, request)
            assert_equal_outcomes(gpu_generated.evaluate_generated(plan, words, N_SAMPLES, request), expected)

    return Case(f"generated {seed}", run)


def make_maps_case(shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str, norm: str) -> Case:
    """`pack_maps`, with norms."""

    def run() -> None:
        maps, constants, operators = make_case(shape, dtype, layout, norm, 1)
        wanted: dict[str, Any] = {"norm": norm, "scale": 0.75 if dtype == torch.int8 else None, "with_norms": True}
        found = gpu_maps.pack_maps(maps, constants, operators, **wanted)
        expected = reference_maps.pack_maps(maps, constants, operators, **wanted)
        assert_near(found, expected, maps, constants, wanted["scale"] or 1.0)

    size = "x".join(map(str, shape))
    return Case(f"maps {size} {str(dtype).removeprefix('torch.')} {layout} {norm}", run)


def make_columns_case(dtype: torch.dtype, *, is_turned: bool, index: torch.dtype | None) -> Case:
    """`pack_columns`; turned: a column lies together. index: the dtype of the column of each atom, or None."""

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        columns = torch.randn(300, 70, generator=generator).round(decimals=1).to(dtype)
        columns[3, 4], columns[5, 6] = torch.nan, torch.inf
        columns = columns.T.contiguous().T if is_turned else columns
        column_of_atom = None if index is None else torch.randperm(70, generator=generator).to(index)
        constants = torch.randn(70, generator=generator).round(decimals=1).to(dtype)
        operators = torch.randint(0, 16, (70,), generator=generator).to(torch.int8)
        arguments = columns, column_of_atom, constants, operators
        found = gpu_columns.pack_columns(*arguments)
        assert torch.equal(found, reference_columns.pack_columns(*arguments)), "words"

    kind = f"{str(dtype).removeprefix('torch.')}{', columns together' * is_turned}{', gathered' * (index is not None)}"
    return Case(f"columns {kind}", run)


def make_count_case(n_atoms: int, n_masks: int, n_words: int) -> Case:
    """`count`, by several blocks that add to the same counts."""

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        words, masks = (
            torch.randint(-(2**31), 2**31, (n, n_words), generator=generator).int() for n in (n_atoms, n_masks)
        )
        with mock.patch.object(gpu_count, "BLOCK_WORDS", 8 * gpu_count.STEP):
            found = gpu_count.count(words, masks)
        assert torch.equal(found, reference_count.count(words, masks)), "counts"

    return Case(f"count {n_atoms} atoms, {n_masks} masks, {n_words} words", run)


def list_evaluations() -> list[Case]:
    """Every decision, each kernel variant once."""
    return [
        make_parts(0),
        make_generated(24),
        make_generated(54),
        make_evaluation("shared", 0, "classes"),
        make_evaluation("shared", 7, "everything"),
        make_evaluation("any", 3, "everything"),
        make_evaluation("any", 6, "all but rules"),
        make_evaluation("forest", 0, "all but rules"),
        make_evaluation("any", 25, "everything"),
        make_evaluation("grove", 9, "everything"),
        make_evaluation("forest", 0, "all but rules", 7),
        make_evaluation("shared", 0, "classes", 7),
    ]


def list_packing() -> list[Case]:
    """Maps of every dtype and layout, columns, and counting."""
    norms = {torch.float32: ("l1", "max"), torch.bfloat16: ("max",), torch.float16: ("max",), torch.int8: ("l1",)}
    maps = [
        make_maps_case(shape, dtype, layout, norm)
        for dtype in DTYPES
        for shape, layout in MAP_SHAPES.values()
        for norm in norms[dtype]
    ]
    maps += [make_maps_case((33, 33, 5, 5), torch.float32, "contiguous", norm) for norm in ("l2", "mean")]
    maps += [make_maps_case((33, 20, 3, 3), torch.bfloat16, "channels-last", "max")]
    columns = [
        make_columns_case(dtype, is_turned=is_turned, index=torch.int64 if is_turned else None)
        for dtype in (torch.float32, torch.float64)
        for is_turned in (False, True)
    ]
    return [*maps, *columns, make_count_case(70, 5, 64)]


def list_more() -> list[Case]:
    """What `make ptx` runs beside: more programs, and every layout and norm."""
    programs = [("any", seed) for seed in range(30)]
    programs += [(kind, seed) for kind in ("forest", "shared") for seed in range(10)]
    evaluations = [make_evaluation(kind, seed, question) for kind, seed in programs for question in QUESTIONS]
    maps = [
        make_maps_case(shape, dtype, layout, norm)
        for dtype in DTYPES
        for shape in ((2, 17, 5, 5), (2, 16, 8, 8), (1, 3, 33, 34))
        for layout in LAYOUTS
        for norm in PIXEL_NORMS
    ]
    columns = [
        make_columns_case(dtype, is_turned=is_turned, index=index)
        for dtype in (torch.float32, torch.float64)
        for is_turned in (False, True)
        for index in (None, torch.int32, torch.int64)
    ]
    counts = [make_count_case(n_atoms, 65, n_words) for n_atoms in (1, 64, 130) for n_words in (32, 128)]
    return [*evaluations, *(make_parts(seed) for seed in range(1, 5)), *maps, *columns, *counts]


def list_repeats() -> list[Case]:
    """The same kernels on large programs, and without counts: every barrier is come to more than once."""
    large = [("shared", seed) for seed in (8, 24, 54)]
    small = [("any", 3), ("any", 6), ("any", 25), ("forest", 0), ("forest", 46), ("grove", 9)]
    evaluations = [make_evaluation(kind, seed, question) for kind, seed in (*large, *small) for question in QUESTIONS]
    return [*evaluations, make_maps_case((33, 70, 5, 5), torch.float32, "contiguous", "l1")]


def list_mutated() -> list[Case]:
    """Those whose kernels the tests break: programs that need every barrier they come to."""
    return [
        make_evaluation("shared", 7, "classes"),
        make_evaluation("shared", 10, "heads"),
        make_evaluation("shared", 10, "classes and heads"),
        make_maps_case((33, 33, 5, 5), torch.float32, "contiguous", "l1"),
    ]
