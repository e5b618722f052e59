"""The validation curve: which updates it measures, and that it is made from adapters that are there."""

from repo_exp.stages import policy, validation


def test_the_points_of_the_curve_are_among_those_that_are_kept():
    """12 updates are kept after 3, 6 and 9; every 4 updates takes the first kept one of each stretch of 4."""
    assert policy.kept_after(12) == (3, 6, 9)
    assert [validation.steps(12, every) for every in (1, 4, 6, 100)] == [
        [0, 3, 6, 9, 12], [0, 6, 9, 12], [0, 6, 12], [0, 12]
    ]  # fmt: skip
    assert policy.kept_after(1) == () and validation.steps(1, 1) == [0, 1]
    assert policy.kept_after(2) == (1,) and policy.kept_after(3) == (1, 2)
