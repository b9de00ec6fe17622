"""The list of formulas to break stays in step with the code."""

from mutation_check import MUTATIONS, ROOT, stale


def test_every_formula_to_break_is_where_the_list_says():
    assert not stale()


def test_every_test_that_should_notice_exists():
    for mutation in MUTATIONS:
        assert mutation.old != mutation.new
        assert all((ROOT / part).is_file() for part in mutation.tests if part.startswith("tests/")), mutation.name
    assert len({m.name for m in MUTATIONS}) == len(MUTATIONS)
