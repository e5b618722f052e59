"""What the price reader takes for money, and what it does not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.language.prices import mentioned_prices


def prices(text: str) -> list[float]:
    return [amount.value for amount in mentioned_prices(text) if amount.is_price]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("380", [380]),
        ("1,280 CNY", [1280]),
        ("CNY 380.50 please", [380.5]),
        ("maybe 8.5k", [8500]),
        ("three eighty", [380]),
        ("Three eighty-five, no less", [385]),
        ("three hundred and eighty", [380]),
        ("three hundred eighty five", [385]),
        ("twelve hundred", [1200]),
        ("twelve eighty", [1280]),
        ("four oh five", [405]),
        ("one thousand two hundred and ten", [1210]),
        ("a hundred and five euros", [105]),
        ("ninety nine", [99]),
        ("380 for the twin, 520 for the suite", [380, 520]),
        ("$95 or €90", [95, 90]),
        ("5 EUR", [5]),
        ("They sell it at 412, we sell it at 450.", [412, 450]),
        ("room for 450?", [450]),
    ],
)
def test_prices_are_read_from_digits_and_words(text, values):
    assert prices(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "10% off",
        "ten percent",
        "4 stars",
        "4*",
        "three nights",
        "12 rooms",
        "rated 4.6",
        "our rating is 4.6",
        "4.6",
        "at 3pm",
        "at 10:30",
        "12 May",
        "May 12",
        "2026-05-12",
        "12/05",
        "the 3rd",
        "room 214",
        "one of us",
        "no one",
        "4.5/5",
        "200 guests",
        "knock twenty off",
        "take 20 EUR off",
        "20 less",
        "the 12th",
        "in two weeks",
        "",
    ],
)
def test_what_is_no_absolute_amount_of_money_is_no_price(text):
    assert prices(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("knock twenty off", "change", 20),
        ("I could knock off 15", "change", 15),
        ("take 20 EUR off", "change", 20),
        ("10% if you must", "percent", 10),
        ("five percent off, fine", "percent", 5),
        ("your 15% commission kills me", "percent", 15),
        ("we are full on 12 May", "date", 12),
    ],
)
def test_money_off_a_price_a_share_and_a_date_are_no_price(text, kind, value):
    assert [(amount.kind, amount.value) for amount in mentioned_prices(text)] == [(kind, value)]


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text):
    for amount in mentioned_prices(text):
        assert 0 <= amount.start < amount.end <= len(text)
        assert amount.value >= 0


@given(
    st.lists(
        st.sampled_from(
            [
                "three",
                "eighty",
                "and",
                "hundred",
                "-",
                "a",
                "oh",
                "thousand",
                "380",
                ",",
                ".",
                "%",
                "k",
                "off",
                "not",
                "net",
                "EUR",
                "",
            ]
        ),
        max_size=40,
    )
)
def test_any_heap_of_number_words_is_read_without_an_error(words):
    text = " ".join(words)
    mentioned_prices(text)


@given(st.integers(101, 999).filter(lambda n: n % 100))
def test_spoken_and_written_prices_agree(number):
    tens = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty", 6: "sixty", 7: "seventy", 8: "eighty", 9: "ninety"}
    teens = [
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    ones = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    rest = number % 100
    if rest < 10:
        tail = f"oh {ones[rest]}"
    elif rest < 20:
        tail = teens[rest - 10]
    else:
        tail = tens[rest // 10] + (f"-{ones[rest % 10]}" if rest % 10 else "")
    assert prices(f"{ones[number // 100]} {tail}") == [number]


@pytest.mark.parametrize("piece", ["9", "1,", "three ", "hundred ", "a ", "%", "not ", "9.", "- ", "\n", "é"])
def test_long_odd_text_takes_linear_time(piece):
    start = time.perf_counter()
    mentioned_prices(piece * 50_000)
    assert time.perf_counter() - start < 3
