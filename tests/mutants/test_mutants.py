"""The changes that are made, how they get into a module that is in use, and what is said of survivors."""

import functools
import sys
from dataclasses import dataclass
from types import ModuleType

from tests.mutants.__main__ import reasons, verdict
from tests.mutants.changes import mutants
from tests.mutants.trial import install


def changes(source: str) -> set[str]:
    return {mutant.becomes for mutant in mutants(source)}


def test_each_thing_is_changed_once() -> None:
    assert changes("y = a + 2 * b") == {"y = a - 2 * b", "y = a + 3 * b", "y = a + 1 * b", "y = a + 2 / b"}
    assert changes("x = a < b") == {"x = a <= b", "x = a > b"}
    assert changes("x = -a and not b") == {"x = a and not b", "x = -a or not b", "x = -a and b"}
    assert changes("x = f(a, min=0.5, k=True)") == {
        "x = f(a, max=0.5, k=True)", "x = f(a, min=1.0, k=True)", "x = f(a, min=0.5, k=False)"
    }  # fmt: skip
    assert changes("x = t.sum(a, b)") == {"x = t.mean(a, b)", "x = t.sum(b, a)"}
    assert changes("if a:\n    b()") == {"if not (a):"}
    assert changes("x = max(a, b)") == {"x = min(a, b)"}  # their order does not matter


def test_signs_are_found_behind_brackets_and_letters_that_take_two_bytes() -> None:
    assert changes("µ = (x) * (y)  # µ * 2") == {"µ = (x) / (y) # µ * 2"}


def test_what_is_read_by_people_or_by_type_checkers_is_left_as_it_is() -> None:
    assert not changes('"""1 + 1"""\nfrom a import min\nx: int | None = y\n')
    assert not changes("def f(x: int | None) -> int | None:\n    raise ValueError(f'{x + 1}')\n")
    assert not changes("if TYPE_CHECKING:\n    x = 1\n")


def test_a_change_is_told_with_its_lines_and_its_function() -> None:
    source = "class A:\n    def f(self):\n        def g():\n            return (a +\n                    b)\n"
    (mutant,) = mutants(source)
    assert mutant.function == "A.f"
    assert (mutant.line, mutant.becomes) == ("return (a +", "return (a -")


SOURCE = """
import functools
from dataclasses import dataclass
LIMIT = {limit}
def plain(x, *, by={limit}):
    return x + by + LIMIT
@functools.cache
def kept(x):
    return x + {limit}
@dataclass
class Box:
    size: int
    def twice(self):
        return {limit} * self.size
    @property
    def big(self):
        return self.size > {limit}
"""


def test_a_module_in_use_gets_the_mutant_whoever_holds_its_functions(monkeypatch) -> None:
    module = ModuleType("in_use")
    module.__file__ = "in_use.py"
    monkeypatch.setitem(sys.modules, "in_use", module)
    exec(SOURCE.format(limit=1), vars(module))
    plain, kept, box = module.plain, module.kept, module.Box(2)
    assert (plain(1), kept(1), box.twice(), box.big) == (3, 2, 2, True)
    install(module, SOURCE.format(limit=5))
    assert (plain(1), kept(1), box.twice(), box.big) == (11, 6, 10, False)
    assert module.functools is functools and module.dataclass is dataclass
    assert sys.modules["in_use"] is module


KEY = ("kl.py", "f", "x + 1", "x - 1")


def test_survivors_need_a_reason_and_reasons_a_survivor() -> None:
    assert verdict([KEY], {KEY: "because"}) == []
    assert "[[survivor]]" in verdict([KEY, KEY], {}) and verdict([KEY], {})[0].startswith("1 mutants")
    assert verdict([KEY], {KEY: ""})  # no reason
    assert "no longer" in verdict([], {KEY: "because"})[1]


def test_what_is_printed_of_a_survivor_can_be_pasted() -> None:
    key = ("kl.py", "f", 'x == "a\\n"', "x - 1")
    text = "\n".join(verdict([key], {})[1:]) + '\nwhy = "because"'
    assert reasons(text, ["kl.py"]) == {key: "because"}
    assert reasons(text, ["other.py"]) == {}
