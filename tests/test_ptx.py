"""The GPU's kernels from their PTX, on the CPU; and that the runner sees what it should."""

import numpy as np
import pytest

from tests.interpreter import run_without_interpreter
from tests.ptx.machine import Grid, find_base
from tests.ptx.memory import FaultError, Memory
from tests.ptx.operands import UnknownOpcodeError
from tests.ptx.text import parse_ptx
from tests.ptx.translate import count_shared_unit, translate

EVALUATIONS = (
    "rows alone",
    "first",
    "first, few words",
    "first with rules",
    "first with rules, adders",
    "vote, adders",
    "vote, by sample",
    "vote, by sample, few words",
    "vote with rules, adders",
    "vote with rules, by sample",
)
NORMS = ("fp32 l1", "fp32 max", "bf16 max", "fp16 max", "i8 l1")
MAPS = [f"{kernel} {norm}" for kernel in ("pack_short", "pack_runs", "pack_pixels") for norm in NORMS]
MAPS += ["pack_short fp32 l2", "pack_short fp32 mean"]


def run_part(name):
    return run_without_interpreter("-m", "tests.ptx", "--only", name).splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "kinds"),
    [
        ("evaluate", [*(f"evaluate: {kind}" for kind in EVALUATIONS), "generated", "decode"]),
        ("pack", [*MAPS, "pack_columns fp32", "pack_columns fp64", "count"]),
    ],
)
def test_kernels_answer_as_the_reference_without_races(part, kinds):
    lines = run_part(part)
    assert [line for line in lines if line.startswith("kind: ")] == sorted(f"kind: {kind}" for kind in kinds)


@pytest.mark.slow
def test_kernels_that_are_broken_on_purpose_are_reported():
    """Of each kernel five barriers are taken away and five stores shifted, where there are so many."""
    lines = run_part("mutations")
    broken = dict(line.split(": ", 2)[1:] for line in lines if line.startswith("broken: "))
    assert broken["read back in another layout"].startswith("read of what another thread wrote, without a barrier")
    assert broken["scratch memory that blocks share"].startswith("write over what another block wrote: p_scratch")
    assert broken["read of what nobody wrote"].startswith("read of what nobody wrote: p_scratch")
    assert broken["read past the end"].startswith("load out of bounds: byte 4104 of p_in")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    assert [row[0] for row in table] == ["mutation", "barrier away", "store shifted"]
    for kind, *numbers in table[1:]:
        made, *_, missed = map(int, numbers)
        assert made >= 6, kind
        assert missed == 0, kind


def run_ptx(body, *, n_blocks=1, n_words=64, n_threads=64, is_blank=False):
    """Run a kernel of one tensor of words, `%rd1`, and shared memory; `%r1` is the thread, `%r2` the block.

    Returns its reports and the words.
    """
    text = f""".visible .entry kernel(
	.param .u64 .ptr .global .align 1 kernel_param_0
)
.reqntid {n_threads}
{{
	ld.param.b64 %rd1, [kernel_param_0];
	mov.u32 %r1, %tid.x;
	mov.u32 %r2, %ctaid.x;
	{body}
	ret;
}}
"""
    routine = parse_ptx(text)
    words = np.zeros(n_words, np.uint32)
    memory = Memory("p_words", find_base(0), words.view(np.uint8), 4, is_blank=is_blank)
    sizes = (n_blocks, 1, 1)
    unit = count_shared_unit(routine)
    grid = Grid(sizes, routine.n_threads, [memory], {"kernel_param_0": memory.base}, 1024, unit)
    grid.run(translate(routine))
    return grid.reports, words


OWN = "mad.wide.u32 %rd2, %r1, 4, %rd1;"  # the word of the thread
NEXT = "xor.b32 %r3, %r1, 32; mad.wide.u32 %rd3, %r3, 4, %rd1;"  # the word of a thread of the other warp
STORE, LOAD = "st.global.b32 [%rd2], %r1;", "ld.global.b32 %r4, [%rd3 + 0];"


def test_what_a_kernel_stores_is_there():
    reports, words = run_ptx(f"{OWN} {STORE}")
    assert not reports
    assert words.tolist() == list(range(64))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"{STORE} {LOAD}", "read of what another thread wrote, without a barrier"),
        (f"{LOAD} {STORE}", "write over what another thread read, without a barrier"),
        (f"{STORE} st.global.b32 [%rd3], %r1;", "write over what another thread wrote, without a barrier"),
        ("st.global.b32 [%rd1], %r1;", "two threads write different values at once"),
        (f"{STORE} bar.sync 0; {LOAD}", None),
        (f"{LOAD} bar.sync 0; {STORE}", None),
        ("st.global.b32 [%rd1], 7;", None),
    ],
)
def test_threads_of_a_block_need_a_barrier_between(body, found):
    reports, _ = run_ptx(f"{OWN} {NEXT} {body}")
    assert len(reports) == (found is not None)
    assert all(report.startswith(found) for report in reports)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (STORE, "write over what another block wrote"),
        (f"@%p1 {STORE} @!%p1 {LOAD}", "read of what another block wrote"),
        (f"@!%p1 {STORE} @%p1 {LOAD}", "write over what another block read"),
        ("red.global.gpu.relaxed.add.u32 [%rd2], %r1;", None),
        (f"red.global.gpu.relaxed.add.u32 [%rd2], %r1; {LOAD}", "read of what is being added to"),
    ],
)
def test_blocks_share_nothing_but_sums(body, found):
    reports, _ = run_ptx(f"{OWN} {NEXT} setp.eq.b32 %p1, %r2, 0; {body}", n_blocks=2)
    assert bool(reports) == (found is not None)
    assert not reports or reports[0].startswith(found)


def test_blocks_add_to_the_same_sums():
    _, words = run_ptx("red.global.gpu.relaxed.add.u32 [%rd1], 1;", n_blocks=3)
    assert words[0] == 3 * 64


def test_what_nobody_wrote_is_not_to_be_read():
    assert run_ptx(f"{NEXT} {LOAD}", is_blank=True)[0][0].startswith("read of what nobody wrote")
    assert run_ptx("ld.shared.b32 %r4, [global_smem+8];")[0][0].startswith("read of what nobody wrote: shared memory")


@pytest.mark.parametrize("access", ["st.global.b32 [%rd2], %r1;", "ld.global.b32 %r4, [%rd2];"])
def test_tensors_have_bounds(access):
    for body, n_words in ((f"{OWN} {access}", 63), (f"{OWN} add.s64 %rd2, %rd2, -4; {access}", 64)):
        with pytest.raises(FaultError, match="out of bounds: byte .* of p_words"):
            run_ptx(body, n_words=n_words)
    with pytest.raises(FaultError, match="not aligned"):
        run_ptx(f"add.s64 %rd2, %rd1, 2; {access}")
    with pytest.raises(FaultError, match="to no tensor"):
        run_ptx(f"mov.b64 %rd2, 4096; {access}")


def test_masked_threads_touch_nothing():
    reports, words = run_ptx(f"{OWN} setp.lt.u32 %p1, %r1, 40; @%p1 {STORE}", n_words=40)
    assert not reports
    assert words.tolist() == list(range(40))


def test_threads_go_different_ways_and_meet_again():
    """A loop that each thread leaves after as many rounds as its number says."""
    body = """mov.b32 %r5, 0;
$L__loop:
	add.s32 %r5, %r5, 3;
	setp.lt.u32 %p1, %r5, %r1;
	@%p1 bra $L__loop;
	bar.sync 0;
	st.global.b32 [%rd2], %r5;"""
    reports, words = run_ptx(f"{OWN} {body}")
    assert not reports
    assert words.tolist() == [max(3, -(-thread // 3) * 3) for thread in range(64)]


def test_threads_wait_at_one_barrier():
    body = "setp.lt.u32 %p1, %r1, 32; @%p1 bra $L__other;\n bar.sync 0; ret;\n$L__other:\n bar.sync 0;"
    assert run_ptx(body)[0] == ["threads wait at different barriers (line 12, block 0)"]


@pytest.mark.parametrize(
    "line",
    [
        "add.sat.s32 %r4, %r1, 1;",
        "frob.b32 %r4, %r1;",
        "add.f32 %r4, %r1, %r1, %r1;",
        "ld.global.nc.b32 %r4, [%rd1];",
        "setp.ne.f32 %p1, %r1, %r2;",
        "cvt.rni.s32.f32 %r4, %r1;",
        "bar.sync 1;",
        "atom.global.gpu.acq_rel.add.u32 %r4, [%rd1], 1;",
    ],
)
def test_an_opcode_that_is_not_known_is_refused(line):
    with pytest.raises(UnknownOpcodeError, match="line 9, "):
        run_ptx(line)


F32 = 0x3FC00000  # 1.5


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("shl.b32 %r4, 1, 33;", 0),
        ("shr.s32 %r4, -8, 40;", 2**32 - 1),
        ("bfe.s32 %r4, 0xF0, 4, 4;", 2**32 - 1),
        ("bfe.u32 %r4, 0xF0, 4, 4;", 15),
        ("prmt.b32 %r4, 0x80, 0, 0x7778U;", 255),
        ("prmt.b32 %r4, 0x04030201, 0x08070605, 0x4620U;", 0x05070301),
        ("mad.wide.s32 %rd4, -2, 3, 5; cvt.u32.u64 %r4, %rd4;", 2**32 - 1),
        ("mov.b16 %rs1, 0x80; cvt.s16.s8 %rs2, %rs1; cvt.u32.u16 %r4, %rs2;", 0xFF80),
        ("add.f32 %r4, 0f3F800000, 0f3F000000;", F32),
        ("max.NaN.f32 %r4, 0f7FC00000, 0f3F000000;", 0x7FC00000),
        ("max.NaN.f32 %r4, 0f3F000000, 0f3F800000, 0f3FC00000;", F32),
        ("max.NaN.bf16x2 %r4, 0x3FC0BF80, 0x3F803F00;", 0x3FC03F00),
        ("max.NaN.f16x2 %r4, 0x3C00C000, 0x38003800;", 0x3C003800),
        ("abs.bf16x2 %r4, 0xBFC0BF80;", 0x3FC03F80),
        ("fma.rn.f32 %r4, 0f3F800001, 0f3F800001, 0fBF800002;", 0x28800000),
        ("fma.rn.f32.f16 %r4, 0x3C00, 0x3800, 0f3F800000;", F32),
        ("fma.rn.f32.bf16 %r4, 0x3F80, 0x3F00, 0f3F800000;", F32),
        ("mov.b64 %rd4, 0x3F80000040000000; fma.rn.f32x2 %rd5, %rd4, %rd4, %rd4; mov.b64 {%r4, _}, %rd5;", 0x40C00000),
        ("mov.b64 %rd4, 0x3F8000003F000000; add.f32x2 %rd5, %rd4, %rd4; mov.b64 {_, %r4}, %rd5;", 0x40000000),
        ("selp.b32 %r5, 0f40000000, 0f3F800000, %p9; redux.sync.max.NaN.f32 %r4, %r5, -1;", 0x40000000),
        ("mov.b64 %rd4, 0x100000002; mov.b64 {_, %r4}, %rd4;", 1),
        ("mov.b32 %r5, 3; mov.b64 %rd4, {%r5, %r6}; mov.b64 {%r4, _}, %rd4;", 3),
        ("mov.b32 %r5, 3; mov.b64 %rd4, {%r5, %r6}; mov.b64 {_, %r4}, %rd4;", 0x7FC0DEAD),
        ("popc.b32 %r4, 0xFF;", 8),
        ("shfl.sync.bfly.b32 %r4, %r1, 5, 31, -1;", 5),
        ("redux.sync.add.s32 %r4, 2, -1;", 64),
    ],
)
def test_arithmetic(body, result):
    """Of thread 0."""
    _, words = run_ptx(f"{OWN} setp.eq.u32 %p9, %r1, 7; {body} st.global.b32 [%rd2], %r4;")
    assert words[0] == result
