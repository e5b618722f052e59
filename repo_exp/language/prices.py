"""Read money amounts from free text: "CNY 1,280", "three eighty", "8.5k", "knock twenty off", "10% if you must".

The text may be anything, model output included: nothing here raises, and the time is linear in its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["price", "percent", "change", "count", "rating", "date", "time"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number in a text. ``text[start:end]`` is where it stands.

    ``kind`` says what it counts; only "price" is an absolute amount of money. "change" is money off a
    price ("knock twenty off"), "percent" a share, the others are no money at all.
    """

    value: float
    start: int
    end: int
    kind: Kind

    @property
    def is_price(self) -> bool:
        """Is it an absolute amount of money?"""
        return self.kind == "price"


class _Token(NamedTuple):
    text: str
    start: int
    end: int
    number: float | None  # digits only; number words are joined later


_TOKEN = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|[A-Za-z]+(?:'[a-z]+)?|[^\sA-Za-z0-9]")
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z")
_LONGEST = 12  # digits and separators; whatever is longer is no price

_ONES = {
    w: i for i, w in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
} | {"oh": 0}
_TEENS = {
    w: i + 10
    for i, w in enumerate(
        ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
    )
}
_TENS = {
    w: 10 * i for i, w in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
} | {"fourty": 40, "fivty": 50, "ninty": 90}
_SMALL = _ONES | _TEENS | _TENS
_SCALES = {"hundred": 100, "thousand": 1000, "grand": 1000}

_CURRENCIES = frozenset(
    [
        "cny",
        "rmb",
        "yuan",
        "usd",
        "dollar",
        "dollars",
        "bucks",
        "eur",
        "euro",
        "euros",
        "gbp",
        "pound",
        "pounds",
        "quid",
        "thb",
        "baht",
        "sgd",
        "myr",
        "ringgit",
        "aed",
        "dirham",
        "dirhams",
        "hkd",
        "jpy",
        "yen",
        "aud",
        "cad",
        "chf",
        "inr",
        "rupees",
        "krw",
        "won",
        "$",
        "€",
        "£",
        "¥",
        "฿",
    ]
)
_COUNTED = frozenset(
    [
        "night",
        "nights",
        "room",
        "rooms",
        "guest",
        "guests",
        "star",
        "stars",
        "people",
        "person",
        "persons",
        "bed",
        "beds",
        "booking",
        "bookings",
        "reservation",
        "reservations",
        "day",
        "days",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "hour",
        "hours",
        "minute",
        "minutes",
        "min",
        "mins",
        "km",
        "metre",
        "metres",
        "m",
        "sqm",
        "times",
        "review",
        "reviews",
        "point",
        "points",
        "place",
        "places",
        "hotel",
        "hotels",
        "floor",
        "floors",
        "unit",
        "units",
        "call",
        "calls",
        "message",
        "messages",
        "view",
        "views",
        "click",
        "clicks",
        "step",
        "steps",
    ]
)
_MONTHS = frozenset(
    [
        "jan",
        "january",
        "feb",
        "february",
        "mar",
        "march",
        "apr",
        "april",
        "may",
        "jun",
        "june",
        "jul",
        "july",
        "aug",
        "august",
        "sep",
        "sept",
        "september",
        "oct",
        "october",
        "nov",
        "november",
        "dec",
        "december",
    ]
)
_OFF_AFTER = frozenset(["off", "less", "cheaper", "lower", "discount", "reduction", "down"])
_OFF_BEFORE = frozenset(["by", "minus", "knock", "shave", "trim"])
_NUMBERED = frozenset(["room", "floor", "gate", "line", "number", "no", "page", "step", "top"])


def _value(digits: str) -> float | None:
    """Return what a run of digits, commas and one point stands for; None when it is too long to be a price."""
    if len(digits) > _LONGEST:
        return None
    if "," in digits and not _GROUPED.match(digits):
        head, _, tail = digits.partition(",")
        return float(head) if not tail.isdigit() or len(tail) > 2 else float(f"{head}.{tail}")
    return float(digits.replace(",", ""))


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        number = None
        if word[0] in "0123456789":
            end = match.start() + len(word.rstrip(","))  # "380, then" is 380
            number = _value(word.rstrip(","))
            found.append(_Token(word.rstrip(","), match.start(), end, number))
        else:
            found.append(_Token(word.lower(), match.start(), match.end(), None))
    return found


def _spoken(tokens: list[_Token], at: int) -> tuple[float, int] | None:
    """Read a number in words that starts at ``at``: its value and the index after it."""
    word = tokens[at].text
    start = at
    if word in {"a", "an"} and at + 1 < len(tokens) and tokens[at + 1].text in _SCALES:
        total, part, at, seen_scale = 0.0, 1.0, at + 1, True
    elif word in _SMALL and word != "oh":
        total, part, seen_scale = 0.0, float(_SMALL[word]), False
        at += 1
    else:
        return None
    last = part
    while at < len(tokens) and at - start < 12:
        word = tokens[at].text
        if word in _SCALES:
            if _SCALES[word] == 100:
                part = part * 100
            else:
                total, part = total + (part or 1) * 1000, 0.0
            last, seen_scale = 100.0, True
        elif (
            word in {"and", "-"}
            and at + 1 < len(tokens)
            and tokens[at + 1].text in _SMALL
            and (word == "-" or seen_scale)
        ):
            pass
        elif word in _SMALL:
            small = float(_SMALL[word])
            if word == "oh":  # "four oh five"
                part = part * 100 if part < 100 else part
            elif (seen_scale and last >= 100) or (last == 0 and part >= 100):
                part += small
            elif small < 10 and 20 <= last < 100 and last % 10 == 0:
                part += small  # "eighty five"
            elif small >= 10 and 1 <= part < 100 and not seen_scale:
                part = part * 100 + small  # "three eighty", "twelve eighty"
            elif seen_scale and part == 0:
                part = small
            else:
                break
            last = small
        else:
            break
        at += 1
    return total + part, at


def _kind(tokens: list[_Token], first: int, after: int, value: float, in_words: bool) -> Kind:
    """Say what the number at ``tokens[first:after]`` counts, from the words around it."""

    def word(i: int) -> str:
        return tokens[i].text if 0 <= i < len(tokens) else ""

    before, behind, next_one = word(first - 1), word(after), word(after + 1)
    literal = "" if in_words else tokens[first].text
    money = before in _CURRENCIES or behind in _CURRENCIES
    if behind in {"%", "percent", "pct"} or (behind == "per" and next_one == "cent"):
        return "percent"
    if (
        behind in {"am", "pm", "o'clock"}
        or (behind == ":" and next_one.isdigit())
        or (before == ":" and word(first - 2).isdigit() and first >= 2 and tokens[first].start == tokens[first - 1].end)
    ):
        return "time"
    if not money:
        if before in _MONTHS or behind in _MONTHS or behind in {"st", "nd", "rd", "th"}:
            return "date"
        touching = after < len(tokens) and tokens[after - 1].end == tokens[after].start
        if behind in {"/", "-"} and touching and next_one.isdigit() and len(literal) in (1, 2, 4):
            return "rating" if behind == "/" and next_one in {"5", "10"} else "date"
        if (
            before in {"/", "-"}
            and word(first - 2).isdigit()
            and len(word(first - 2)) in (1, 2, 4)
            and (tokens[first].start == tokens[first - 1].end and len(literal) <= 2)
        ):
            return "date"
        if behind in {"*", "★"} or (behind == "out" and next_one == "of") or before in {"rated", "rating", "score"}:
            return "rating"
        if "." in literal and value <= 10:
            return "rating"
        if (
            behind in _COUNTED
            or (behind in {"-", "more", "other", "extra"} and next_one in _COUNTED)
            or before in {"#", "x"}
            or (before in _NUMBERED and value < 1000 and not in_words)
        ):
            return "count"
    skip = after + 1 if behind in _CURRENCIES else after
    lead = word(first - 2) if before in _CURRENCIES else before
    if word(skip) in _OFF_AFTER or lead in _OFF_BEFORE or (lead == "off" and word(first - 2) in {"knock", "take"}):
        return "change"
    if money:
        return "price"
    return "count" if value < (20 if in_words else 10) else "price"


def mentioned_prices(text: str) -> list[Amount]:
    """Return every number in ``text``, in order, each with its kind; ``is_price`` picks the prices.

    Numbers may be digits ("1,280", "380.50", "8.5k") or words ("three eighty", "twelve hundred").
    """
    tokens = _tokens(text)
    amounts: list[Amount] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        in_words = None
        if token.number is not None:
            value, after = token.number, at + 1
            if after < len(tokens) and tokens[after].text == "k" and tokens[after].start == token.end:
                value, after = value * 1000, after + 1
        else:
            in_words = _spoken(tokens, at)
            if in_words is None:
                at += 1
                continue
            value, after = in_words
        kind = _kind(tokens, at, after, value, in_words is not None)
        amounts.append(Amount(value, token.start, tokens[after - 1].end, kind))
        at = after
    return amounts
