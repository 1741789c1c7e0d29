"""README and docs print what their code prints; see `tests.page_blocks`."""

import shlex
import sys

import pytest

from docs import commands
from eric_fast import parse_program
from tests import page_blocks, page_outputs

PAGES = [page for page in page_blocks.list_pages() if page_blocks.find_blocks(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(page_blocks.ROOT).as_posix())
def test_blocks_print_what_the_page_says(page, demo):
    blocks = [block for block in page_blocks.find_blocks(page) if not block.is_kept]
    if not any(block.language in page_blocks.RUN for block in blocks):
        return
    log = (demo / "demo.log").read_text(encoding="utf-8")
    with page_blocks.open_folder(demo / "eric-demo"):
        for block, _, difference in page_blocks.run_blocks(blocks, log):
            assert not difference, f"{page}:{block.line}: {difference}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(page_blocks.ROOT).as_posix())
def test_commands_and_programs_of_pages_are_valid(page):
    """Of what isn't run, too: options exist, and whole programs are read."""
    known = commands.list_commands()
    for block in page_blocks.find_blocks(page):
        assert block.language in page_blocks.RUN + page_blocks.NOT_RUN, f"{page}:{block.line}"
        if block.language == "prolog" and "format(" in block.code:
            assert parse_program(block.code).class_rules
        lines = block.code.replace("\\\n", " ").splitlines()
        for line in lines if block.language in ("sh", "console") else []:
            words = (
                shlex.split(line.removeprefix("$ "), comments=True)
                if line.startswith("$ ") or block.language == "sh"
                else []
            )
            if words[:1] == ["eric-fast"] and words[1:2] and not words[1].startswith("-"):
                assert words[1] in known, f"{page}:{block.line}: {line}"
                given = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
                assert given <= set(commands.list_options(known[words[1]])), f"{page}:{block.line}: {line}"


def test_the_comparison_sees_what_it_should():
    differ = page_outputs.find_difference
    assert not differ("a 1\n...\nz", "a 1\nb\nc\nz\n", masked=False)
    assert not differ("a 0.25 and 1 rule\n│ 7 │", "a 0.75 and 3 rules\n│ 8 │\n│ 9 │\n", masked=True)
    assert not differ("in 1.5 s", "in 0.2 s", masked=False)
    assert not differ("model a, ...", "model a, b, c", masked=False)
    assert differ("a 1", "a 2", masked=False)
    assert differ("a 1", "b 1", masked=True)
    assert differ("a\nb", "a", masked=False)
    assert differ("", "a", masked=True)


def test_a_run_writes_the_numbers_that_are_not_compared():
    renew = page_outputs.renew_output
    assert renew("a 1 in 2 s\n", "a 1 in 3 s\n", masked=True) == "a 1 in 2 s\n"
    assert renew("a 1 in 2 s\n", "a 4 in 3 s\n", masked=True) == "a 4 in 3 s\n"
    assert renew("a 1\n", "b 1\n", masked=True) == "b 1\n"
    assert renew("a 1\n...\n", "a 2\n", masked=False) == "a 2\n"
    page = "top 1, ...\n│ 1 │\nend 1\n...\n4  if  a\n    support 1\n...\nlast\n"
    run = (
        "top 2, left out\n│ 8 │\n│ 9 │\nend 2\n│ 0 │\nnext 3\n5  if  b\n    support 2\n3  if  c\n    support 0\nlast\n"
    )
    fresh = "top 2, ...\n│ 8 │\n│ 9 │\nend 2\n...\n5  if  b\n    support 2\n...\nlast\n"
    assert renew(page, run, masked=True) == fresh
    assert renew(fresh, run, masked=True) == fresh


def test_python_blocks_share_names_and_run_in_order():
    names = {}
    assert page_blocks.run_python("x = 1", names, "page") == ""
    assert page_blocks.run_python("print(x + 1)", names, "page") == "2\n"
    assert sys.stdout is not None
