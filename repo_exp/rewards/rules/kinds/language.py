"""The response is written, or partly written, in another script or language than the one expected."""

from __future__ import annotations

from collections.abc import Iterator

import regex

from repo_exp.errors import did_you_mean
from repo_exp.rewards.facts import values_at
from repo_exp.rewards.rules.matching import plain, words_of
from repo_exp.types import Trajectory

SCRIPTS: dict[str, tuple[str, ...]] = {
    "latin": ("Latin",),
    "cyrillic": ("Cyrillic",),
    "greek": ("Greek",),
    "arabic": ("Arabic",),
    "hebrew": ("Hebrew",),
    "devanagari": ("Devanagari",),
    "thai": ("Thai",),
    "han": ("Han",),
    "japanese": ("Han", "Hiragana", "Katakana"),
    "korean": ("Hangul", "Han"),
}
_OTHER = {
    "cyrillic": ("ru", "uk", "bg", "sr", "be", "mk", "kk"),
    "greek": ("el",),
    "arabic": ("ar", "fa", "ur"),
    "hebrew": ("he",),
    "devanagari": ("hi", "mr", "ne"),
    "thai": ("th",),
    "han": ("zh",),
    "japanese": ("ja",),
    "korean": ("ko",),
}
_LATIN = "en de fr es it pt nl sv no da fi pl cs sk hu ro tr id ms vi tl hr sl et lv lt is ga ca eu sw"
# Words that give a language away: frequent, and (nearly) no words of the other languages here or parts of names.
_TELLTALE = {
    "en": "the and you your would could please thanks thank with this that have price is are it for of to we",
    "de": """ich nicht und können könnten sie machen vielen dank guten bitte das ist wir ihr ihre preis zimmer verstehe
             auf wäre möglich für mit einen danke""",
    "fr": """je vous nous est-ce pourriez pouvez merci beaucoup avec pour prix chambre bonjour bonne journée bien
             comprends convient faire d'accord c'est cela respecte serait votre""",
    "es": """muy gracias muchas usted ustedes podrían podría pueden qué para pero les parece bien bajar precio
             habitación buenos días buen día entiendo lo que tenga bueno está""",
    "it": "grazie buongiorno prezzo potrebbe può potete per favore sono capisco bene questo della vostra siete va",
    "pt": "obrigado obrigada você vocês preço quarto não bom dia por favor poderia entendo muito está seu sua",
    "nl": "ik niet een het dank bedankt alstublieft kunt kunnen prijs kamer begrijp goed voor met u uw",
}
_WORDS = {code: frozenset(words.split()) for code, words in _TELLTALE.items()}
SCRIPT_OF = {code: script for script, codes in _OTHER.items() for code in codes} | dict.fromkeys(
    _LATIN.split(), "latin"
)


def check(
    trajectory: Trajectory,
    *,
    script: str | None = None,
    expected: str | None = None,
    most: float = 0.1,
    at_least: int = 3,
    foreign_words: int = 2,
) -> bool | None:
    """Broken where too many letters belong to another script, or too many words to another language.

    Args:
        response: of the policy.
        script: the expected script: latin, han, japanese...
        expected: path of a fact with a language code such as ``en``; its script is expected if listed.
        most: the share of letters outside the script that is still allowed (names, brands).
        at_least: fewer letters outside than this are always allowed.
        foreign_words: so many different words of one other language break the rule; 0 looks at scripts alone. Only
            languages with a list of telltale words are told apart (en, de, fr, es, it, pt, nl).
    """
    codes = values_at(trajectory.prompt.facts, expected) if expected else []
    code = next((str(value).casefold().split("-")[0].split("_")[0] for value in codes if value), "")
    script = SCRIPT_OF.get(code, script)
    if script is None:
        return None
    if foreign_words and code in _WORDS:
        words = set(words_of(trajectory.response)) - _WORDS[code]
        if any(len(words & others) >= foreign_words for others in _WORDS.values()):
            return True
    letters = regex.findall(r"\p{L}", plain(trajectory.response))
    inside = regex.compile("|".join(rf"\p{{Script={name}}}" for name in SCRIPTS[script]))
    outside = sum(1 for letter in letters if not inside.match(letter))
    return outside >= at_least and outside > most * len(letters)


def faults(
    *,
    script: str | None = None,
    expected: str | None = None,
    most: float = 0.1,
    at_least: int = 3,
    foreign_words: int = 2,
) -> Iterator[tuple[str, str]]:
    """No expectation, an unknown script, or a share outside [0, 1]."""
    if script is None and expected is None:
        yield "script", "give a script, or the path of a fact with the language (expected)"
    if script is not None and script not in SCRIPTS:
        yield "script", f"'{script}' is unknown: {did_you_mean(script, SCRIPTS)}"
    if not 0 <= most <= 1:
        yield "most", f"{most} is no share between 0 and 1"
