"""Trajectories: what several turns have in common with one."""

from __future__ import annotations

import pytest

from repo_exp.types import Message, Prompt, Trajectory, Turn

PROMPT = Prompt("p", (Message("user", "Hello?"),))


def test_a_response_alone_is_a_trajectory_of_one_turn():
    one = Trajectory.single(PROMPT, "Yes.", finished=False, tokens=3)
    assert (one.response, one.finished, one.tokens, one.turns[0].stop_reason) == ("Yes.", False, 3, "length")
    assert one.messages == (Message("user", "Hello?"), Message("assistant", "Yes."))
    assert one.status == "terminated"


def test_several_turns_add_up_their_tokens_and_the_last_one_is_the_response():
    first = Turn("Yes?", completion_ids=(5, 6), logprobs=(-1.0, -2.0), partner_messages=(Message("user", "How much?"),))
    both = Trajectory(PROMPT, (first, Turn("90.", completion_ids=(7, 8, 9))))
    assert (both.response, both.tokens, both.finished) == ("90.", 5, True)
    assert [message.content for message in both.messages] == ["Hello?", "Yes?", "How much?", "90."]


def test_a_trajectory_is_finished_only_if_every_turn_is():
    assert not Trajectory(PROMPT, (Turn("a", finished=False), Turn("b"))).finished


def test_a_trajectory_without_a_turn_is_refused():
    with pytest.raises(ValueError, match="at least one turn"):
        Trajectory(PROMPT, ())
