"""RRM's fifteen pairs, and who is paired with whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.augmentation import Which, contests, partners


def test_an_example_makes_one_original_eight_non_contextual_and_six_neutral_pairs() -> None:
    found = contests(4, (7, 2))
    own = [contest for contest in found if {contest.first.example, contest.second.example} == {4}]
    mixed = [contest for contest in found if contest.first.example == 4 != contest.second.example]
    neutral = [contest for contest in found if 4 not in (contest.first.example, contest.second.example)]
    assert (len(own), len(mixed), len(neutral)) == (1, 8, 6) and len(found) == 15
    assert found[0] == (Which(4, True), Which(4, False), 1.0)
    assert {contest.label for contest in mixed} == {1.0} and {contest.label for contest in neutral} == {0.5}


def test_no_pair_comes_twice_in_whichever_order() -> None:
    assert len({frozenset(contest[:2]) for contest in contests(0, (1, 2))}) == 15


@pytest.mark.parametrize("others", [(0, 1), (1, 1), (1, 0)])
def test_an_example_is_not_its_own_partner_nor_a_partner_there_twice(others) -> None:
    with pytest.raises(ValueError, match="two other examples"):
        contests(0, others)


@given(st.integers(3, 40), st.integers(0, 99))
def test_partners_are_two_others_and_each_serves_as_a_first_one_once(size, seed) -> None:
    found = partners(range(size), seed=seed)
    assert all(len({example, *others}) == 3 for example, others in enumerate(found))
    assert sorted(first for first, _ in found) == list(range(size))


@given(st.lists(st.sampled_from("abcd"), min_size=3, max_size=30).filter(lambda keys: len(set(keys)) >= 3))
def test_partners_never_have_the_same_prompt(keys) -> None:
    for example, (first, second) in enumerate(partners(keys, seed=1)):
        assert len({keys[example], keys[first], keys[second]}) == 3


def test_the_seed_decides_and_two_prompts_do_not_suffice() -> None:
    assert partners(range(20), seed=1) == partners(range(20), seed=1) != partners(range(20), seed=2)
    with pytest.raises(ValueError, match="3 different prompts, got 2"):
        partners("aabb", seed=0)
