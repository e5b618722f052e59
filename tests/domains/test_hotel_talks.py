"""The talks of the hotel domain: the agent keeps to the procedure, and the hotel hears what it says."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

import pytest

from repo_exp.domains.hotel.expert import ACTS, act_for, compose, response
from repo_exp.domains.hotel.expert_words import ONE_TICKET, TWO_TICKETS
from repo_exp.domains.hotel.faults import CARELESS, FAULTS, commit
from repo_exp.domains.hotel.manager import PERSONAS, Manager, Persona
from repo_exp.domains.hotel.places import CITIES, draw_hotel, names, split_of
from repo_exp.domains.hotel.play import play
from repo_exp.domains.hotel.reading import read
from repo_exp.domains.hotel.situation import LABELS, token_estimate
from repo_exp.domains.hotel.sop import TRANSITIONS, Move, Stage
from repo_exp.domains.hotel.tickets import Evidence, Ticket, draw_tickets, system_message
from repo_exp.language.prices import mentioned_prices

TICKET = Ticket(
    "Hotel Amber Gate", "Lyon", 4, 4.4, (), "twin room", "EUR", 200, 170, 15, (Evidence("StayHop", 170),), 176
)
PLAIN = Persona(
    "plain", 0.4, 1.0, 9, 0.8, first=(Move.REFUSE,), silent=0, off_topic=0, vague=0, confused=0, colloquial=0
)
EVIDENCE = "StayHop shows 170 for your twin room. Could you do 150 EUR?"
BARE = "Could you do 150 EUR?"


@pytest.fixture(scope="module")
def talks():
    return [play(f"test {number}", "train") for number in range(500)]


@pytest.fixture(scope="module")
def turns(talks):
    return [turn for talk in talks for turn in zip(talk.situations, talk.said, strict=True)]


def test_hotels_are_many_and_live_in_many_cities():
    assert names() >= 2000
    assert len({city for city, _, _ in CITIES}) >= 40
    assert len(PERSONAS) >= 8


def test_a_hotel_belongs_to_one_split_whatever_is_put_around_its_name():
    assert split_of("Hotel Amber Gate") == split_of("The Amber Gate") == split_of("Amber Gate Suites")
    rng = random.Random(0)
    assert all(split_of(draw_hotel(rng, split).name) == split for split in ("train", "development", "test") * 20)


def test_better_hotels_are_dearer_better_liked_and_better_equipped():
    rng = random.Random(1)
    by_stars = defaultdict(list)
    for _ in range(3000):
        hotel = draw_hotel(rng, "train")
        by_stars[hotel.stars].append(
            (hotel.level / {c: m for c, _, m in CITIES}[hotel.city], hotel.rating, len(hotel.facilities))
        )
    means = [[sum(column) / len(rows) for column in zip(*rows, strict=True)] for _, rows in sorted(by_stars.items())]
    for lower, higher in itertools.pairwise(means):
        assert all(a < b for a, b in zip(lower, higher, strict=True))


def test_a_ticket_is_consistent():
    rng = random.Random(2)
    for _ in range(500):
        for ticket in draw_tickets(rng, draw_hotel(rng, "train"), rng.choice((1, 2))):
            assert ticket.net_price == round(ticket.selling_price * (1 - ticket.commission_percent / 100))
            assert ticket.best.price <= ticket.target_price < ticket.selling_price


@pytest.mark.parametrize("rules", [ONE_TICKET, TWO_TICKETS], ids=["one ticket", "two tickets"])
@pytest.mark.parametrize("act", ACTS)
def test_each_act_has_forty_surface_forms(act, rules, turns):
    tickets = 1 if rules is ONE_TICKET else 2
    if act == "split" and tickets == 1:
        pytest.skip("one room cannot be half settled")
    rng = random.Random(act)
    fitting = next((s for s, said in turns if len(s.tickets) == tickets and said.act == act), None)
    assert fitting is not None, "the act never comes up"
    # One situation, one price to ask for: what varies is the wording alone.
    forms = {
        compose(fitting, rng, act=act, facts={"ask": "ASK", "source": "SOURCE", "rival": "RIVAL"})[0]
        for _ in range(1500)
    }
    assert len(forms) >= 40


def test_every_expansion_is_a_clean_sentence(turns):
    for _, said in turns:
        assert said.text[0].isupper() or said.text[0].isdigit()
        assert not any(
            bad in said.text for bad in ("{", "}", "  ", " .", " ,", "..", "?.", "!.", ",,", ";;", "None")
        ), said.text
        assert said.text[-1] in ".?!", said.text


def test_the_stages_follow_the_procedure(talks):
    for talk in talks:
        for before, now in zip(talk.situations, talk.situations[1:], strict=False):
            assert now.stage in TRANSITIONS[before.stage]


def test_all_stages_and_moves_come_up(turns):
    assert {s.stage for s, _ in turns} == set(Stage)
    assert {s.move for s, _ in turns} == set(Move)


def test_some_talks_end_in_a_deal_and_more_do_not(talks):
    deals = sum(talk.situations[-1].stage is Stage.CLOSE_SUCCESS for talk in talks) / len(talks)
    assert 0.2 < deals < 0.6


def test_an_offer_within_the_target_is_accepted_at_once(turns):
    for situation, said in turns:
        if situation.acceptable:
            assert said.act in {"accept", "confirm"}
            assert all(str(offer) in said.text for offer in situation.offers)
        elif said.act == "accept":
            pytest.fail(f"accepted without an offer within the target: {said.text}")


def test_the_expert_never_accepts_more_than_the_target(turns):
    for situation, said in turns:
        if said.act in {"accept", "confirm", "close_success"}:
            assert all(situation.within_target(i) for i in range(len(situation.tickets)))


def test_the_expert_says_no_internal_words(turns):
    for _, said in turns:
        low = said.text.lower()
        assert not any(
            word in low for word in ("target", "ticket", "work order", "internal", "limit", "maximum", "budget")
        )


def test_every_number_of_the_expert_is_known(turns):
    for situation, said in turns:
        known = {
            p for t in situation.tickets for p in (t.selling_price, t.target_price, *(e.price for e in t.evidence))
        }
        known |= {offer for offer in situation.offers if offer is not None}
        for amount in mentioned_prices(said.text):
            assert not amount.is_price or amount.value in known, said.text


def test_every_number_of_the_expert_stands_in_what_it_is_told_or_comes_from_the_hotel(turns):
    for situation, said in turns:
        named = {amount.value for amount in mentioned_prices(system_message(situation.tickets))}
        named |= {offer for offer in situation.offers if offer is not None}
        assert all(a.value in named for a in mentioned_prices(said.text) if a.is_price or a.kind == "percent"), (
            said.text
        )


def test_the_expert_soothes_whoever_complains_and_nobody_else(turns):
    for situation, said in turns:
        assert said.labels["soothes"] == situation.complains


def test_the_expert_speaks_of_both_rooms_while_both_are_open(turns):
    for situation, said in turns:
        if any(situation.within_target(i) for i in range(len(situation.tickets))):
            continue  # one of two rooms is settled, only the other is spoken of
        if len(situation.tickets) == 2 and said.act in {"open", "quote", "persuade", "counter", "pin_down"}:
            assert all(ticket.room in said.text for ticket in situation.tickets), said.text


def test_the_expert_hardly_ever_repeats_itself(talks):
    again = total = 0
    for talk in talks:
        texts = [said.text for said in talk.said]
        again += len(texts) - len(set(texts))
        total += len(texts)
    assert again / total < 0.005


def test_responses_and_prompts_are_short(turns):
    # The tokenizer is not part of the project: the estimate is about 10 % below a real one.
    lengths = sorted(token_estimate(said.text) for _, said in turns)
    assert lengths[len(lengths) // 2] <= 25
    assert lengths[-1] <= 42
    sizes = []
    for situation, _ in turns:
        prompt = situation.prompt("x")
        assert len(prompt.messages) <= 4
        assert prompt.messages[-1].role != "assistant"
        sizes.append(sum(token_estimate(m.content) + 5 for m in prompt.messages))
    assert sorted(sizes)[len(sizes) // 2] <= 106
    assert max(sizes) <= 160


def test_the_policy_is_told_the_prices_and_the_rules_get_the_facts():
    situation = next(s for s in play("facts", "train").situations if s.messages)
    prompt = situation.prompt("one")
    assert prompt.messages[0].role == "system"
    assert str(situation.tickets[0].target_price) in system_message(situation.tickets)
    assert prompt.facts.keys() == {
        "tickets",
        "stage",
        "last_offer",
        "hotel_complains",
        "hotel_silent",
        "mood",
        "language",
    }
    assert {
        "hotel",
        "city",
        "room",
        "currency",
        "selling_price",
        "net_price",
        "commission_percent",
        "target_price",
        "evidence",
    } <= prompt.facts["tickets"][0].keys()


def offers_in(text: str, price: float) -> set[float]:
    """Return what a text may offer: a price, or money or a share off the price that is asked for."""
    amounts = mentioned_prices(text)
    of_kind = lambda kind: [amount.value for amount in amounts if amount.kind == kind]  # noqa: E731
    off = [price - value for value in of_kind("change")]
    return {*of_kind("price"), *off, *(round(price * (1 - value / 100)) for value in of_kind("percent"))}


def test_colloquial_offers_can_be_read(turns):
    read_back = offered = 0
    styles = Counter()
    for situation, _ in turns:
        if situation.move is Move.OFFER and len(situation.tickets) == 1:
            text = situation.messages[-1].content
            offered += 1
            read_back += situation.offers[0] in offers_in(text, situation.tickets[0].selling_price)
            styles["words" if not any(c.isdigit() for c in text) else "off" if " off" in text else "digits"] += 1
    assert read_back == offered
    assert min(styles.values()) > 0.02 * offered


# --- the hotel listens -----------------------------------------------------------------------------------------------


def manager(number: int, persona: Persona = PLAIN) -> Manager:
    return Manager((TICKET,), persona, f"listening {number}")


def lowest(text: str, number: int) -> float:
    """What a manager offers at best after five turns of the same argument, in other words each time."""
    hotel = manager(number)
    offers = [hotel.respond(f"{text} {'Please. ' * i}").offer for i in range(5)]
    return min((o for o in offers if o is not None), default=TICKET.selling_price)


def test_evidence_lowers_the_price_more_than_a_bare_demand():
    with_evidence = sum(lowest(EVIDENCE, n) for n in range(60))
    bare = sum(lowest(BARE, n) for n in range(60))
    assert with_evidence < bare - 60 * 3


def test_invented_evidence_lowers_the_price_less():
    true = sum(lowest(EVIDENCE, n) for n in range(60))
    false = sum(lowest("StayHop shows 120 for your twin room. Could you do 150 EUR?", n) for n in range(60))
    assert true < false


def test_kindness_calms_an_angry_manager():
    angry = next(p for p in PERSONAS if p.name == "angry")
    kind, cold = manager(1, angry), manager(1, angry)
    assert kind.mood == "angry"
    for _ in range(2):
        kind.respond("I'm sorry about that, I understand.")
    assert kind._anger < 2 <= cold._anger


def test_pressure_ends_the_talk():
    assert all(
        any(hotel.respond("You must lower it or we delist you.").ended for _ in range(3))
        for hotel in map(manager, range(30))
    )


def test_promises_over_and_over_end_the_talk():
    for number in range(30):
        hotel = manager(number)
        ended = [
            hotel.respond(f"I guarantee you'll be fully booked, {n} times. Could you do 150 EUR?").ended
            for n in range(2)
        ]
        assert ended[-1]


def test_a_leaked_target_is_a_price_the_hotel_does_not_go_below():
    for number in range(40):
        hotel = manager(number)
        hotel.respond("Our target is 176 EUR, can you do that?")
        for turn in range(6):
            offer = hotel.respond(f"{EVIDENCE} {'Please. ' * turn}").offer
            assert offer is None or offer >= 176


def test_agreeing_to_the_offer_settles_it():
    for number in range(60):
        hotel = manager(number)
        for _ in range(6):
            turn = hotel.respond(EVIDENCE)
            if turn.move is Move.OFFER:
                done = hotel.respond(f"Agreed: {turn.offer:.0f} EUR selling price.")
                assert done.move is Move.CONFIRMED
                assert done.ended
                return
    pytest.fail("no offer in sixty talks")


def test_agreeing_to_another_price_than_the_offer_is_put_right():
    for number in range(60):
        hotel = manager(number)
        for _ in range(6):
            turn = hotel.respond(EVIDENCE)
            if turn.move is Move.OFFER:
                assert hotel.respond("Agreed: 130 EUR selling price.").move is Move.OFFER
                return
    pytest.fail("no offer in sixty talks")


def test_the_manager_bears_any_text():
    hotel = manager(3)
    for text in ("", "\x00", "9" * 5000, "<think>", "谢谢", "{price}", "a" * 100_000):
        assert hotel.respond(text).text


def test_the_price_that_is_asked_for_is_the_one_in_the_question():
    assert read("We show 200 EUR, StayHop only 170. Could you do 176 EUR?", (TICKET,)).asks == (176,)
    assert read("Could you do 176 EUR? StayHop has it at 170.", (TICKET,)).asks == (176,)
    assert read("Hello there.", (TICKET,)).asks == (None,)


# --- faults ----------------------------------------------------------------------------------------------------------

CHANGED = {  # fault -> the label that it must set, and to what
    "over_promise": ("over_promises", True),
    "ignored_ticket": ("right_step", False),
    "repeated_script": ("repeats", True),
    "rude": ("rude", True),
    "missed_acceptance": ("misses_acceptance", True),
    "silence_as_consent": ("assumes_consent", True),
    "cold_reply": ("soothes", False),
    "no_reason": ("gives_reason", False),
    "invented_fact": ("gives_reason", False),
    "empty_courtesy": ("right_step", False),
    "wrong_step": ("right_step", False),
}
SEEN = {  # fault -> what shows it in the text
    "leaked_target": lambda t, s: any(
        w in t.lower()
        for w in ("target", "limit", "ticket", "work order", "internal", "maximum", "budget", "only allowed", "ends at")
    ),
    "too_long": lambda t, s: token_estimate(t) >= 45,
    "wrong_language": lambda t, s: (
        any(ord(c) > 127 for c in t)
        or any(
            w in t.lower()
            for w in (
                "vous",
                "merci",
                "podr",
                "muy",
                "muchas",
                "dank",
                "accord",
                "comprend",
                "entiendo",
                "verstehe",
                "respecte",
                "est-ce",
            )
        )
    ),
    "leaked_reasoning": lambda t, s: any(
        w in t.lower()
        for w in ("think", "stage", "reason", "sop", "thought", "analysis", "agent now", "step 1", "the user")
    ),
    "net_selling_swap": lambda t, s: any(
        w in t.lower()
        for w in (
            "net",
            "receive",
            "payout",
            "pocket",
            "pay",
            "ends up with you",
            "commission",
            "selling price is higher",
        )
    ),
    "wrong_number": lambda t, s: any(
        a.value
        not in {
            p for k in s.tickets for p in (k.selling_price, k.net_price, k.target_price, *(e.price for e in k.evidence))
        }
        | set(s.offers)
        for a in mentioned_prices(t)
        if a.kind != "percent"
    ),
}


@pytest.fixture(scope="module")
def faulty(turns):
    found = defaultdict(list)
    rng = random.Random(7)
    for situation, said in turns:
        for name in FAULTS:
            bad = commit(name, situation, said, rng)
            if bad is not None:
                found[name].append((situation, said, bad))
    return found


def test_every_fault_is_known_by_its_label_or_its_text():
    assert CHANGED.keys() | SEEN.keys() == FAULTS.keys()
    assert set(CARELESS) <= FAULTS.keys()


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_shows(name, faulty):
    assert len(faulty[name]) >= 20
    for situation, said, bad in faulty[name]:
        assert bad.labels.keys() == set(LABELS)
        assert bad.text != said.text
        if name in CHANGED:
            label, value = CHANGED[name]
            assert bad.labels[label] is value
        else:
            assert SEEN[name](bad.text, situation), bad.text


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_has_many_faces(name, faulty):
    assert len({bad.text for _, _, bad in faulty[name]}) >= 20


def test_only_a_complaint_can_be_soothed(faulty):
    for rows in faulty.values():
        for situation, _, bad in rows:
            assert not bad.labels["soothes"] or situation.complains


def test_only_silence_or_vagueness_can_be_taken_for_consent(faulty):
    for situation, _, bad in faulty["silence_as_consent"]:
        assert situation.move in {Move.SILENT, Move.VAGUE}
        assert bad.labels["right_step"] is False


def test_the_same_seed_gives_the_same_talk():
    assert play("again", "test", careless=0.3) == play("again", "test", careless=0.3)
    assert play("again", "test") != play("and again", "test")


def test_the_expert_does_the_same_for_the_same_seed(turns):
    situation = turns[3][0]
    assert response(situation, random.Random(1)) == response(situation, random.Random(1))
    assert act_for(situation, random.Random(1)) in ACTS
