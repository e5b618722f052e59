"""The hotel's environment: scripted agents talk to its manager, from prompts of the corpus on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from repo_exp.domains import registry
from repo_exp.domains.hotel import dialogue
from repo_exp.domains.hotel.dialogue import Dialogue
from repo_exp.domains.hotel.manager import PERSONAS
from repo_exp.domains.hotel.play import MOST_TURNS
from repo_exp.domains.interface import Step
from repo_exp.errors import DataError
from repo_exp.language.prices import mentioned_prices
from repo_exp.types import Message, Prompt
from tests.domains.hotel_corpus import TINY, generate

Script = Callable[[Sequence[Message]], str]


@pytest.fixture(scope="module")
def prompts() -> tuple[Prompt, ...]:
    prompts = {"train": 120, "development": 2, "test": 2}
    return generate(seed=4, **TINY | {"prompts": prompts, "two_tickets": 0.3}).prompts["train"]


def at(prompts: Sequence[Prompt], stage: str, *, tickets: int = 1) -> list[Prompt]:
    return [each for each in prompts if each.facts["stage"] == stage and len(each.facts["tickets"]) == tickets]


def talk(prompt: Prompt, say: Script, *, seed: int = 0) -> tuple[list[Message], Step]:
    """Play a talk to its end; return all its messages and the last step."""
    environment = Dialogue(prompt, seed=seed)
    messages = list(environment.reset())
    for _ in range(2 * MOST_TURNS):
        text = say(messages)
        step = environment.step(text)
        messages += [Message("assistant", text), *step.messages]
        if step.done:
            return messages, step
        assert step.messages and not step.outcome
    raise AssertionError("the talk has no end")


def agreeing(prompt: Prompt) -> Script:
    """Return an agent that takes any offer it hears, and else asks for the target."""
    ticket = prompt.facts["tickets"][0]

    def say(messages: Sequence[Message]) -> str:
        heard = [each.value for each in mentioned_prices(messages[-1].content) if each.is_price]
        if messages[-1].role == "user" and heard:
            return f"{heard[-1]:.0f} {ticket['currency']} it is, agreed. Thank you!"
        asked = f"Could you do {ticket['target_price']} {ticket['currency']}?"
        return f"{ticket['evidence'][0]['source']} shows {ticket['evidence'][0]['price']}. {asked} " + "Please. " * len(
            messages
        )

    return say


def rude(messages: Sequence[Message]) -> str:
    return "Lower it right now or we remove you from the platform, you fool."


def test_the_domain_offers_it_and_it_begins_with_the_prompts_messages(prompts):
    environment = registry.find("hotel").environment(prompts[0], seed=1)
    assert isinstance(environment, Dialogue) and environment.reset() == prompts[0].messages


def test_the_same_seed_is_the_same_partner_and_another_seed_another(prompts):
    few = at(prompts, "persuade")[:6]
    one, same, other = ([talk(each, agreeing(each), seed=seed) for each in few] for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_the_partner_is_drawn_among_those_that_can_be_in_the_prompts_mood(prompts):
    for mood in ("calm", "warm", "annoyed"):
        prompt = next(each for each in prompts if each.facts["mood"] == mood)
        managers = [Dialogue(prompt, seed=seed)._manager for seed in range(30)]
        assert {manager.mood for manager in managers} == {mood}
        fitting = [p for p in PERSONAS if (p.anger, p.words == "warm") == (int(mood == "annoyed"), mood == "warm")]
        assert {manager.persona.name for manager in managers} == {persona.name for persona in fitting}, mood


def test_a_patient_agent_with_evidence_comes_to_agreements_and_the_outcome_says_at_which_price(prompts):
    outcomes = [talk(each, agreeing(each))[1].outcome for each in at(prompts, "counter") + at(prompts, "persuade")]
    agreed = [each for each in outcomes if each["agreed"]]
    assert len(agreed) > 0.3 * len(outcomes)
    assert any(each["success"] for each in agreed) and not all(each["success"] for each in agreed)
    assert all((each["saving"] >= 1) == each["success"] for each in agreed)
    assert all(0 < each["saving"] < 3 for each in agreed)
    assert all(each["saving"] == 0 and not each["success"] for each in outcomes if not each["agreed"])


def test_an_offer_within_the_target_can_be_taken_at_once(prompts):
    found = []
    for prompt in at(prompts, "confirm"):
        offer, target = prompt.facts["last_offer"], prompt.facts["tickets"][0]["target_price"]
        if offer is not None and offer <= target:
            environment = Dialogue(prompt, seed=2)
            currency = prompt.facts["tickets"][0]["currency"]
            first = environment.step(f"Agreed, {offer:.0f} {currency}. Please confirm.")
            assert not first.done  # the agent has the last word
            found.append(environment.step("Thank you, good-bye!"))
    agreed = [step for step in found if step.done and step.outcome["agreed"]]
    assert len(found) >= 5 and len(agreed) > 0.7 * len(found)
    assert all(step.outcome["success"] and step.outcome["saving"] >= 1 for step in agreed)


def test_threats_end_the_talk_without_an_agreement(prompts):
    talks = [talk(each, rude) for each in at(prompts, "persuade") + at(prompts, "open")]
    assert not any(step.outcome["agreed"] for _, step in talks)
    ended = [messages for messages, step in talks if not step.messages]
    assert len(ended) > 0.8 * len(talks)
    assert all(messages[-1].role == "assistant" for messages in ended)


@pytest.mark.parametrize(("stage", "agreed"), [("close_success", True), ("close_fail", False)])
def test_a_talk_that_the_hotel_has_closed_is_over_after_the_farewell(prompts, stage, agreed):
    for prompt in at(prompts, stage):
        messages, step = talk(prompt, lambda messages: "Thank you, good-bye!")
        assert step.done and step.messages == () and step.outcome["agreed"] is agreed
        assert len(messages) == len(prompt.messages) + 1


def test_a_talk_is_over_after_the_most_turns(prompts, monkeypatch):
    monkeypatch.setattr(dialogue, "MOST_TURNS", 2)
    for prompt in at(prompts, "open"):
        messages, step = talk(prompt, agreeing(prompt))
        assert step.outcome["turns"] == 2 and [each.role for each in messages[1:4]] == [
            "assistant",
            "user",
            "assistant",
        ]
    assert messages[-1].role == "user"  # the limit came before the agent's last word


def test_two_tickets_have_an_offer_each(prompts):
    both = [each for each in prompts if len(each.facts["tickets"]) == 2]
    assert len(both) >= 5
    for prompt in both:
        _, step = talk(prompt, agreeing(prompt))
        assert step.outcome.keys() == {"agreed", "success", "saving", "turns"}


@pytest.mark.parametrize("change", [{"tickets": []}, {"tickets": ["x"]}, {"stage": "nowhere"}, None])
def test_a_prompt_of_another_domain_is_refused_by_its_id(prompts, change):
    facts = {} if change is None else {**prompts[0].facts, **change}
    with pytest.raises(DataError, match=prompts[0].id):
        Dialogue(replace(prompts[0], facts=facts), seed=0)
