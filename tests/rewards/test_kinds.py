"""Each kind of rule, at its edges; the examples of the shipped rules cover the middle."""

from __future__ import annotations

import pytest

from repo_exp.rewards.rules.kinds import (
    empty,
    fact_leak,
    forbidden_text,
    language,
    length,
    numbers_grounded,
    price_bounds,
    price_label,
    repeats_itself,
    unfinished,
)

PRICES = ["tickets.*.selling_price", "tickets.*.evidence.*.price"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We GUARANTEE it", True),
        ("we guar\u200bantee it", True),  # a zero-width space hides nothing
        ("we \uff47\uff55arantee it", True),  # nor do full-width letters
        ("guaranteed", False),
        ("x<think>", True),
        ("it's \u201cnet\u201d", False),
        ("x" * 4000 + " guarantee", False),  # beyond what rules read
    ],
)
def test_forbidden_text_is_found_whole_and_however_it_is_disguised(make_response, text, expected):
    assert forbidden_text.check(make_response(text), patterns=["guarantee", "<think>"]) is expected


def test_forbidden_text_may_lie_inside_words_when_asked_to(make_response):
    assert forbidden_text.check(make_response("unguaranteed"), patterns=["guarantee"], whole_words=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 450 with us and 372 on Booking.", False),
        ("three seventy two on Booking", False),
        ("372.4 on Booking", False),  # within half a unit
        ("310 on Booking", True),
        ("You said 465.", False),  # the hotel named it
        ("We have 1 room and 13% commission.", False),
        ("Could it be 20 less?", False),
        ("Would 401 do?", False),  # a counter-offer between 380 and 450
        ("Would 379 do?", True),
    ],
)
def test_prices_come_from_facts_the_talk_or_the_span_of_offers(make_response, hotel_facts, text, expected):
    response = make_response(text, hotel_facts, ("system", "limit 310"), ("user", "It's 465 EUR this week."))
    between = ["tickets.*.target_price", "tickets.*.selling_price"]
    assert numbers_grounded.check(response, facts=PRICES, allow_between=between) is expected


def test_without_facts_prices_cannot_be_called_invented(make_response):
    assert numbers_grounded.check(make_response("380 EUR"), facts=PRICES) is None
    assert numbers_grounded.check(make_response("hello"), facts=PRICES) is False
    assert numbers_grounded.check(make_response("380 EUR", {}, ("user", "380 EUR")), facts=PRICES) is False
    assert (
        numbers_grounded.check(make_response("380 EUR", {}, ("user", "380 EUR")), facts=PRICES, conversation=False)
        is None
    )


def test_with_several_tickets_a_price_must_fit_one_of_them(make_response):
    facts = {"t": [{"low": 100, "high": 200}, {"low": 400, "high": 500}, {"low": None, "high": 900}]}
    prices = {
        text: price_bounds.check(make_response(text, facts), low="t.*.low", high="t.*.high")
        for text in ("150 EUR", "450 EUR", "300 EUR", "850 EUR", "150 and 450 EUR", "150 and 300 EUR")
    }
    assert prices == {
        "150 EUR": False,
        "450 EUR": False,
        "300 EUR": True,
        "850 EUR": True,
        "150 and 450 EUR": False,
        "150 and 300 EUR": True,
    }


def test_bounds_have_margins_and_quoted_prices_do_not_count(make_response):
    facts = {"low": 100, "high": 200, "rival": 40}
    options = {"low": "low", "high": "high", "low_factor": 0.5, "high_factor": 1.1, "ignore": ["rival"]}
    said = {
        price: price_bounds.check(make_response(f"{price} EUR", facts), **options) for price in (49, 50, 220, 221, 40)
    }
    assert said == {49: True, 50: False, 220: False, 221: True, 40: False}
    assert price_bounds.check(make_response("50 EUR"), **options) is None


def test_a_leak_needs_the_value_and_the_revealing_words_in_one_sentence(make_response):
    facts = {"target": 380, "boss": "Ms Tan"}
    options = {"facts": ["target", "boss"], "revealing": ["our (?:target|limit)", "reports? to"]}
    assert fact_leak.check(make_response("Our target is three eighty.", facts), **options) is True
    assert fact_leak.check(make_response("This reports to MS TAN.", facts), **options) is True
    assert fact_leak.check(make_response("Would 380 work? Our target is a good year.", facts), **options) is False
    assert fact_leak.check(make_response("Our target is 385.", facts), **options) is False
    assert fact_leak.check(make_response("Our target is 380."), **options) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The selling price is 450, net 390.", False),
        ("The selling price is 390, net 450.", True),
        ("450 is the selling price and 390 is the net price.", False),
        ("390 is the selling price and 450 is the net price.", True),
        ("Selling price 390 against a net price of 450", True),  # two labels, two prices, in order
        ("Your selling price is four hundred and fifty.", False),
        ("The selling price of 400 is fine.", False),  # no known price of either kind
        ("The network is at 390.", False),
    ],
)
def test_a_price_is_called_by_its_own_name(make_response, text, expected):
    labels = {"selling": ["selling price"], "net": ["net(?: price)?"]}
    assert price_label.check(make_response(text, {"selling": 450, "net": 390}), labels=labels) is expected


def test_further_prices_and_spans_belong_to_a_label(make_response):
    labels = {"selling": ["selling price"], "net": ["net(?: price)?"]}
    facts = {"selling": 450, "net": 390, "target": 380, "rival": 372}
    also, between = {"selling": ["target", "rival"]}, {"selling": ["target", "selling"]}

    def broken(text: str, **changes: int) -> bool | None:
        return price_label.check(make_response(text, facts | changes), labels=labels, also=also, between=between)

    assert broken("Would you take 400 net?")  # between target and selling price, and not the net price
    assert broken("A net price of 372 would help.")  # the rival's selling price
    assert not broken("The net price would be 340.")  # 13% less than a selling price of 391
    assert not broken("How about a selling price of 380?", net=380)  # the target happens to be the net price
    assert broken("How about a selling price of 390?")
    assert price_label.check(make_response("net price 390", {"net": 390}), labels=labels) is None


def test_length_is_counted_in_words_and_characters(make_response):
    assert length.check(make_response("one two three"), max_words=2)
    assert not length.check(make_response("one two"), max_words=2)
    assert length.check(make_response("abcde"), max_characters=4)
    assert length.check(make_response(" ab "), min_characters=3)
    assert length.check(make_response("one"), min_words=2)
    assert [name for name, _ in length.faults()] == ["max_words"]
    assert [name for name, _ in length.faults(min_words=3, max_words=2)] == ["min_words"]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Good morning", "en", False),
        ("Good morning 早上好", "en", True),
        ("Try our 小吃 today, they are the best in the whole old town", "en", False),  # 2 letters: a name
        ("Many thanks, muy bien, we can do that", "en", True),
        ("Is the Hotel de la Paix free? Merci!", "en", False),  # a name, and a single word
        ("Could you lower the price?", "de", True),
        ("Können Sie den Preis senken?", "de", False),
        ("早上好", "zh-CN", False),
        ("Good morning", "zh", True),
        ("12:30 !!", "en", False),
        ("Good morning", "xx", None),
        ("Good morning", None, None),
    ],
)
def test_the_script_follows_the_language(make_response, text, code, expected):
    assert language.check(make_response(text, {"language": code}), expected="language") is expected


def test_the_script_can_be_given_outright(make_response):
    assert language.check(make_response("Guten Morgen"), script="cyrillic") is True
    assert "did you mean 'latin'" in str(list(language.faults(script="lattin")))


def test_repetition_looks_at_the_agents_own_turns_only(make_response):
    text = "Could you please lower the price of the twin room a little?"
    assert repeats_itself.check(make_response(text, {}, ("assistant", text.upper()), ("user", "no")))
    assert not repeats_itself.check(make_response(text, {}, ("user", text)))
    assert not repeats_itself.check(make_response("Thank you very much.", {}, ("assistant", "Thank you very much.")))
    assert not repeats_itself.check(
        make_response("And would you consider weekdays only for the suite?", {}, ("assistant", text))
    )


def test_an_unfinished_response_and_an_empty_one_are_seen(make_response):
    assert unfinished.check(make_response("So I", finished=False))
    assert not unfinished.check(make_response("So I"))
    assert empty.check(make_response(" \u200b…"))
    assert not empty.check(make_response("好"))
