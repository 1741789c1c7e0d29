"""Inputs led by the kept corpus, without atheris: each reader reads them, or refuses them in words."""

import pytest
from hypothesis import HealthCheck, given

from eric_fast.errors import EricError
from tests.examples import try_examples
from tests.guided_fuzz import KEPT, list_kept, list_readers, mutate, name_folder, read_input

READERS = list_readers()


def test_each_reader_has_a_corpus():
    assert {path.name for path in KEPT.iterdir()} == set(map(name_folder, READERS))
    assert sum(path.stat().st_size for path in KEPT.rglob("*")) < 500_000


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_what_the_corpus_leads_to_is_read_or_refused(reader):
    corpus, read = list_kept(reader), READERS[reader][1]
    for content in corpus:
        read_input(read, content)

    @try_examples(30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(mutate(corpus))
    def try_mutated(content):
        read_input(read, content)

    try_mutated()


@pytest.mark.parametrize(("error", "seen"), [(ValueError("x"), ValueError), (EricError(""), AssertionError)])
def test_untyped_errors_and_refusals_without_a_word_are_seen(error, seen):
    def read(content):
        raise error

    with pytest.raises(seen):
        read_input(read, b"")
