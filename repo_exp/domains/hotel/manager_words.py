"""What hotel managers say: a grammar per move, with words for each temper, and their ways of naming a price."""

from __future__ import annotations

from repo_exp.domains.hotel.grammar import Rules

TROUBLES = {
    # what the manager complains of, and how the agent can name it
    "the high commission": [
        "your commission is eating my margin",
        "you take too much commission already",
        "first lower your commission, then we talk",
        "with your commission I earn nothing",
    ],
    "the late payments": [
        "your payments always come late",
        "I still wait for last month's payment",
        "pay me on time before you ask for favours",
        "accounting still waits for your money",
    ],
    "the no-shows": [
        "your guests book and never show up",
        "half of your guests are no-shows",
        "I had no-shows from you all week",
        "your no-shows cost me more than you bring",
    ],
    "the late cancellations": [
        "your guests cancel at the last minute",
        "too many late cancellations from your side",
        "every weekend somebody cancels late",
        "your cancellations ruin my planning",
    ],
    "the constant calls": [
        "you people call me every week",
        "that's the third call this week",
        "stop calling me all the time",
        "always the same calls from you",
    ],
    "the last promotion": [
        "your last promotion brought me nothing",
        "last time I went down and saw no bookings",
        "we tried that in spring and it was useless",
        "your last campaign was a waste",
    ],
    "the rude guests": [
        "your guests are rude to my staff",
        "your guests leave the rooms in a mess",
        "my staff is fed up with your guests",
        "your guests broke a lamp again",
    ],
    "the wrong photos": [
        "your site still shows the wrong photos",
        "my photos on your page are years old",
        "nobody fixed my photos on your site",
        "the photos on your page are not even ours",
    ],
}

MANAGER: Rules = {
    "hi": ["", "", "", "hello. ", "hi. ", "yes. ", "good day. ", "hm. "],
    "who": [
        "{hi}who is this?",
        "sorry, who are you?",
        "which company is this?",
        "and you are?",
        "{hi}what is this about?",
        "why are you writing to me?",
        "why should I lower it?",
        "do I know you?",
        "what's the reason?",
        "{hi}why would I do that?",
        "on what grounds?",
        "who gave you this number?",
    ],
    "ask_price": [
        "{hi}what price do you want?",
        "how much then?",
        "what do you have in mind?",
        "name your price",
        "{hi}which price exactly?",
        "and what would you like me to charge?",
        "give me a number",
        "so what number are we talking about?",
        "how low do you want it?",
        "what are you asking for?",
    ],
    "ask_kind": [
        "is that what I get or what guests pay?",
        "before or after your cut?",
        "is that net?",
        "{hi}you mean selling price or net?",
        "and what do I receive in the end?",
        "net or gross?",
        "wait, is that my net or the page price?",
        "does that include your commission?",
        "I'm confused, which price is that?",
        "so that is the money I get?",
    ],
    "refuse": [
        "{objection}",
        "{objection}",
        "no, {objection}",
        "sorry, {objection}",
        "{hi}{objection}",
        "not now, {objection}",
    ],
    "objection": [
        "we are full most days",
        "our costs went up",
        "our price is fair",
        "we lowered it last month already",
        "the owner would never agree",
        "our rooms were just renovated",
        "I can't sell below cost",
        "we don't do discounts",
        "I don't see why",
        "others charge more than we do",
        "cheap prices bring the wrong guests",
        "it's high season soon",
        "wages and energy are expensive",
        "I would have to lower it everywhere",
        "guests are happy with the price",
        "that is too low for us",
    ],
    "refuse_disbelief": [
        "I don't see that price anywhere",
        "that's not what I see there",
        "I just looked, that isn't true",
        "where do you get that from?",
        "that number is wrong",
    ],
    "complain": ["{gripe}!", "{gripe}.", "honestly, {gripe}.", "again? {gripe}!", "{gripe}, so no.", "look, {gripe}."],
    "off_topic": [
        "is it raining where you are?",
        "do you know a good plumber?",
        "are you a robot?",
        "did you see the match last night?",
        "when does the trade fair start?",
        "who do I ask about invoices?",
        "how do I change my photos?",
        "my printer is broken again",
        "do you sell flights too?",
        "is the airport strike over?",
        "can you send me a calendar?",
        "do you also have offices in Spain?",
        "where can I get better towels?",
        "the lift is out of order today",
        "do guests like jazz at breakfast?",
    ],
    "offer": [
        "{price}, {take}",
        "I can do {price}",
        "{ok}{price}",
        "{price}?",
        "let's say {price}",
        "best I can do is {price}",
        "{price} and not less",
        "maybe {price}",
        "{ok}I could go to {price}",
        "what about {price}",
        "{price} if you must",
        "for you {price}",
    ],
    "offer_off": [
        "{change} off, {take}",
        "{ok}{change} off",
        "knock {change} off if you must",
        "I can take {change} off",
        "{change} off and not more",
        "{ok}let's take {change} off",
    ],
    "take": ["that's it", "take it or leave it", "not less", "okay?", "final word", "more I can't do", "if it helps"],
    "ok": ["", "", "ok, ", "fine, ", "hm, ", "well, ", "all right, ", "ok ok, "],
    "offer_two": [
        "{price} for the {room}, {price2} for the {room2}",
        "{room} {price}, {room2} {price2}",
        "{ok}{price} the {room} and {price2} the {room2}",
    ],
    "consent": [
        "ok, {price} then",
        "fine, do it",
        "all right, {price}",
        "yes, go ahead",
        "ok, agreed",
        "{price} is fine",
        "yes, that works",
        "good, do that",
        "ok, you win",
        "deal",
        "fine, {price}",
        "yes, we can do that",
    ],
    "consent_two": [
        "ok, both then",
        "fine, do both",
        "yes, agreed to both",
        "all right, both are fine",
        "ok, deal for both",
    ],
    "vague": [
        "I'll think about it",
        "maybe",
        "let me see",
        "we'll see",
        "hmm",
        "I need to ask the owner",
        "not sure",
        "sounds interesting",
        "perhaps later",
        "I'll get back to you",
        "could be",
        "let me check first",
        "possibly, I don't know",
        "call me next week",
    ],
    "confirmed": [
        "yes, correct",
        "yes",
        "right",
        "that's right, go ahead",
        "correct, put it in",
        "yes, as you say",
        "exactly",
        "yes, change it",
    ],
    "correct_price": ["no, I said {price}", "I said {price}", "wait, {price} is what I said"],
    "end": [
        "no. That's final.",
        "the price stays. Good bye.",
        "I'm not interested.",
        "no deal, sorry.",
        "let's leave it.",
        "we keep our price, thanks.",
        "I have nothing more to say.",
        "no, and please stop asking.",
    ],
    "end_angry": [
        "this talk is over.",
        "I won't be threatened. Good bye.",
        "don't write to me again.",
        "enough. Good bye.",
        "I don't talk to people like that.",
    ],
    "end_promise": [
        "always promises. Enough.",
        "you promised that before. No.",
        "I don't believe your promises. Bye.",
        "nobody can promise that. Good bye.",
    ],
}

WARM = {
    "hi": ["hello! ", "hi! ", "", "nice to hear from you. "],
    "ok": ["sure, ", "gladly, ", "ok, ", "of course, "],
    "take": ["hope that helps", "is that ok?", "if it helps", "happy to help"],
}
CURT = {
    "hi": ["", "yes? ", "quick please. "],
    "ok": ["", "ok. ", "fine. "],
    "take": ["no time", "that's it", "in a hurry", "ok?"],
}
"""Words of a temper; they take the place of the same rules in MANAGER."""

SILENCE = "(no reply)"

MAY_BE_MISTYPED = frozenset(
    [
        "please",
        "price",
        "about",
        "agree",
        "again",
        "guests",
        "commission",
        "receive",
        "exactly",
        "which",
        "renovated",
        "discounts",
        "expensive",
        "everywhere",
        "correct",
        "think",
        "interesting",
        "would",
        "could",
        "maybe",
        "sorry",
        "never",
        "owner",
        "rooms",
        "whatever",
        "confused",
        "selling",
        "include",
        "reason",
        "higher",
        "lowered",
        "season",
        "happy",
        "month",
        "business",
        "company",
        "writing",
        "should",
        "lower",
    ]
)

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
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
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int, *, colloquial: bool) -> str:
    """Say a whole number below 10,000 as people do: 380 is "three eighty" (colloquial) or "three hundred eighty"."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_SMALL[number % 10]}" if number % 10 else "")
    head, rest = divmod(number, 100)
    if rest == 0 and head % 10 == 0:
        return f"{_SMALL[head // 10]} thousand"
    if rest == 0:
        return f"{in_words(head, colloquial=True)} hundred"
    if colloquial and rest >= 10:
        return f"{in_words(head, colloquial=True)} {in_words(rest, colloquial=True)}"
    if head >= 10:
        thousands = f"{_SMALL[head // 10]} thousand"
        return f"{thousands} {in_words(number % 1000, colloquial=False)}" if number % 1000 else thousands
    return f"{_SMALL[head]} hundred {in_words(rest, colloquial=False)}"
