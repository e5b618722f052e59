"""The shapes of a row: each is read without loss, or refused in a sentence."""

from __future__ import annotations

import json

import pytest

from repo_exp.domains.own_data.faults import Bad
from repo_exp.domains.own_data.reading import pair
from repo_exp.types import Message


def read(row: dict, **options):
    return pair(row, name="x", **options)


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict:
    return {"role": "system", "content": text}


HI = (("user", "Hi"),)
TALK = (("user", "Hi"), ("assistant", "Yes?"), ("user", "Lift?"))
HH = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Lift?\n\nAssistant: "

SHAPES = {
    "texts": ({"prompt": "Hi", "chosen": "A", "rejected": "B"}, HI),
    "messages": ({"prompt": [user("Hi")], "chosen": [said("A")], "rejected": [said("B")]}, HI),
    "mixed": ({"prompt": "Hi", "chosen": [said("A")], "rejected": "B"}, HI),
    "implicit": ({"chosen": [user("Hi"), said("A")], "rejected": [user("Hi"), said("B")]}, HI),
    "implicit over turns": (
        {
            "chosen": [user("Hi"), said("Yes?"), user("Lift?"), said("A")],
            "rejected": [user("Hi"), said("Yes?"), user("Lift?"), said("B")],
        },
        TALK,
    ),
    "ultrafeedback": (
        {
            "prompt": "Hi",
            "prompt_id": "0",
            "chosen": [user("Hi"), said("A")],
            "rejected": [user("Hi"), said("B")],
            "messages": [user("Hi"), said("A")],
            "score_chosen": 8.0,
            "score_rejected": 2.0,
        },
        HI,
    ),
    "first prompt of a talk": (
        {
            "prompt": "Hi",
            "chosen": [user("Hi"), said("Yes?"), user("Lift?"), said("A")],
            "rejected": [user("Hi"), said("Yes?"), user("Lift?"), said("B")],
        },
        TALK,
    ),
    "prompt and conversations": (
        {"prompt": [user("Hi")], "chosen": [user("Hi"), said("A")], "rejected": [user("Hi"), said("B")]},
        HI,
    ),
    "system in the conversations alone": (
        {
            "prompt": "Hi",
            "chosen": [system("S"), user("Hi"), said("A")],
            "rejected": [system("S"), user("Hi"), said("B")],
        },
        (("system", "S"), ("user", "Hi")),
    ),
    "system in the prompt alone": (
        {"prompt": [system("S"), user("Hi")], "chosen": [user("Hi"), said("A")], "rejected": [user("Hi"), said("B")]},
        (("system", "S"), ("user", "Hi")),
    ),
    "HH": ({"chosen": HH + "A", "rejected": HH + "B"}, TALK),
    "HH with a prompt": ({"prompt": HH, "chosen": "A", "rejected": "B"}, TALK),
    "HH with a prompt and whole": ({"prompt": HH, "chosen": HH + "A", "rejected": HH + "B"}, TALK),
    "HH without the first line ends": ({"chosen": HH.lstrip() + "A", "rejected": HH.lstrip() + "B"}, TALK),
    "ShareGPT": (
        {
            "conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        (("system", "S"), ("user", "Hi")),
    ),
    "ShareGPT with the chosen response at its end": (
        {
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "A"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        HI,
    ),
    "ShareGPT, whole": (
        {
            "chosen": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "A"}],
            "rejected": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "B"}],
        },
        HI,
    ),
    "messages as the prompt": ({"messages": [user("Hi")], "chosen": said("A"), "rejected": said("B")}, HI),
    "a system column": (
        {"system": "S", "prompt": "Hi", "chosen": "A", "rejected": "B"},
        (("system", "S"), ("user", "Hi")),
    ),
    "developer": (
        {"prompt": [{"role": "developer", "content": "S"}, user("Hi")], "chosen": "A", "rejected": "B"},
        (("system", "S"), ("user", "Hi")),
    ),
    "content parts": (
        {
            "prompt": [user([{"type": "text", "text": "H"}, {"type": "text", "text": "i"}])],
            "chosen": [said([{"type": "text", "text": "A"}])],
            "rejected": [said([{"type": "output_text", "text": "B"}])],
        },
        HI,
    ),
    "keys that Arrow fills with null": (
        {
            "prompt": None,
            "chosen": [{**user("Hi"), "tool_calls": None}, {**said("A"), "name": None}],
            "rejected": [user("Hi"), said("B")],
            "labels": {"chosen": {"polite": None}, "rejected": None},
        },
        HI,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_read_without_loss(name):
    row, prompt = SHAPES[name]
    found = read(row)
    assert found.prompt.messages == tuple(Message(*each) for each in prompt)
    assert (found.chosen, found.rejected) == ("A", "B")


def test_texts_that_begin_alike_are_parted_between_words_as_trl_parts_them():
    found = read({"chosen": "The sky is blue.", "rejected": "The sky is green."})
    assert (found.prompt.messages[0].content, found.chosen, found.rejected) == ("The sky is", " blue.", " green.")
    assert ("implicit", "") in found.remarks
    inside = read({"chosen": "I like it", "rejected": "I love it"})
    assert (inside.prompt.messages[0].content, inside.chosen) == ("I", " like it")


def test_what_tools_say_and_are_asked_stays_whole():
    call = {"id": "c1", "type": "function", "function": {"name": "lift", "arguments": '{"floor": 3}'}}
    row = {
        "prompt": [
            user("Lift?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "name": "lift", "content": '{"there": true}'},
        ],
        "tools": [{"name": "lift"}],
        "chosen": "A",
        "rejected": {"role": "assistant", "content": "One moment.", "tool_calls": [call]},
    }
    found = read(row)
    head, asked, calling, answer = found.prompt.messages
    assert (head.role, json.loads(head.content)) == ("system", {"tools": [{"name": "lift"}]})
    assert (asked.role, calling.role, answer.role) == ("user", "assistant", "user")
    assert json.loads(calling.content) == {"tool_calls": [call]}
    assert json.loads(answer.content) == row["prompt"][2]
    assert found.rejected.startswith("One moment.\n") and json.loads(found.rejected.splitlines()[1]) == {
        "tool_calls": [call]
    }
    assert {detail for kind, detail in found.remarks if kind == "tool"} == {
        "lists of tools",
        "calls of tools",
        "results of tools",
    }


def test_sharegpt_calls_functions_in_turns_of_their_own():
    turns = [
        {"from": "human", "value": "Lift?"},
        {"from": "function_call", "value": '{"name": "lift"}'},
        {"from": "observation", "value": "yes"},
    ]
    found = read({"conversations": turns, "chosen": "A", "rejected": "B"})
    assert [m.role for m in found.prompt.messages] == ["user", "assistant", "user"]
    assert json.loads(found.prompt.messages[1].content) == {"tool_calls": {"name": "lift"}}


GOOD = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
BAD = {
    "misspelt chosen": ({"prompt": "x", "chosn": "A", "rejected": "B"}, "no 'chosen'", "did you mean 'chosen'"),
    "misspelt prompt": ({"promt": "Hi", "chosen": "A a", "rejected": "A b"}, "no 'prompt', but 'promt'", "call it"),
    "a question": ({"question": "Hi", "chosen": "A a", "rejected": "A b"}, "no 'prompt', but 'question'", "call it"),
    "no prompt at all": ({"chosen": "A", "rejected": "B"}, "no 'prompt'", "needed"),
    "responses alone": ({"chosen": [said("A")], "rejected": [said("B")]}, "no 'prompt'", "needed"),
    "single feedback": ({"prompt": "x", "completion": "y", "label": True}, "no 'chosen'", "pairs of responses"),
    "parted early": (
        {
            "chosen": [user("Hi"), said("1"), user("?"), said("A")],
            "rejected": [user("Hi"), said("2"), user("?"), said("B")],
        },
        "differ before their last response",
        "only the last response",
    ),
    "one talk longer": (
        {"chosen": [user("Hi"), said("1"), user("?"), said("A")], "rejected": [user("Hi"), said("B")]},
        "differ before their last response",
        "only the last response",
    ),
    "HH parted early": (
        {"chosen": HH + "A", "rejected": HH.replace("Yes?", "No?") + "B"},
        "differ before",
        "only the last",
    ),
    "no response": (
        {"chosen": [user("Hi"), said("A"), user("x")], "rejected": [user("Hi"), said("B"), user("x")]},
        "does not end with an assistant",
        "end it",
    ),
    "another prompt": (
        {"prompt": "Ho", "chosen": [user("Hi"), said("A")], "rejected": [user("Hi"), said("B")]},
        "do not begin with 'prompt'",
        "give the responses alone",
    ),
    "an image": (
        GOOD | {"prompt": [user([{"type": "image_url", "image_url": {"url": "x"}}])]},
        "type 'image_url'",
        "text",
    ),
    "audio": (GOOD | {"prompt": [user([{"type": "input_audio"}])]}, "type 'input_audio'", "text"),
    "a number as content": (GOOD | {"prompt": [user(3)]}, "is a number, not text", "give a string"),
    "null content": (GOOD | {"prompt": [{"role": "user", "content": None}]}, "has no 'content'", "a message is"),
    "thoughts apart": (
        GOOD | {"chosen": [{**said("A"), "reasoning_content": "hm"}]},
        "would be lost",
        "write it into",
    ),
    "unknown role": (GOOD | {"prompt": [{"role": "assistent", "content": "x"}]}, "the role 'assistent'", "'assistant'"),
    "no role": (GOOD | {"prompt": [{"content": "x"}]}, "has no role", "a message is"),
    "a user calls tools": (GOOD | {"prompt": [{**user("x"), "tool_calls": [1]}]}, "calls a tool", "only an assistant"),
    "two systems": (
        GOOD | {"prompt": [system("a"), {"role": "developer", "content": "b"}, user("x")]},
        "system",
        "first",
    ),
    "another system": (GOOD | {"system": "a", "prompt": [system("b"), user("x")]}, "another system", "give one"),
    "null character": (GOOD | {"chosen": "a\0b"}, "null character", "remove it"),
    "surrogate": (GOOD | {"facts": {"x": ["\ud800"]}}, "surrogate", "whole characters"),
    "numbers that are none": (GOOD | {"facts": {"x": float("nan")}}, "not finite", "null"),
    "bytes": (GOOD | {"chosen": b"A"}, "bytes", "a string"),
    "a date": (GOOD | {"facts": {"x": __import__("datetime").date(2026, 1, 1)}}, "of type date", "text"),
    "label 1": (GOOD | {"labels": {"chosen": {"polite": 1}}}, "other than true and false", "polite"),
    "a huge margin": (GOOD | {"margin": 10**400}, "'margin' is 1000", "0 to 1e+06"),
    "margin false": (GOOD | {"margin": False}, "'margin' is False", "0 to"),
    "facts as text": (GOOD | {"facts": "x"}, "'facts' is str", "object"),
    "one empty response": (GOOD | {"rejected": "\u2003\n"}, "'rejected' is empty", "some text"),
    "only spaces apart": (GOOD | {"chosen": "B \n"}, "are the same", "two different"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_would_lose_something_or_is_none_is_refused_with_a_way_out(name):
    row, found, remedy = BAD[name]
    with pytest.raises(Bad) as caught:
        read(row)
    assert found in caught.value.found
    assert remedy in caught.value.remedy
    assert len(caught.value.found) < 200


def test_cells_of_a_table_of_texts_hold_json_where_they_have_to():
    talk = json.dumps([user("Hi"), said("A")])
    row = {
        "chosen": talk,
        "rejected": talk.replace('"A"', '"B"'),
        "facts": '{"n": 1}',
        "margin": "0.5",
        "labels": '{"chosen": {"polite": true}}',
    }
    found = read(row, cells=True)
    assert (found.chosen, found.rejected, found.margin, found.prompt.facts) == ("A", "B", 0.5, {"n": 1})
    assert read(GOOD | {"chosen": "[A]"}, cells=True).chosen == "[A]"
    with pytest.raises(Bad, match="as Python prints them"):
        read(row | {"chosen": str([user("Hi"), said("A")])}, cells=True)
    with pytest.raises(Bad, match="'margin' is not JSON"):
        read(row | {"margin": "much"}, cells=True)
    with pytest.raises(Bad, match="'margin' is nan"):
        read(row | {"margin": "NaN"}, cells=True)


def test_deep_facts_are_refused_and_not_followed():
    deep: dict = {}
    for _ in range(5000):
        deep = {"x": deep}
    with pytest.raises(Bad, match="nested too deeply"):
        read(GOOD | {"facts": deep})


def test_keys_of_messages_that_are_not_used_are_remarked():
    found = read(GOOD | {"prompt": [{**user("Hi"), "name": "Bo", "weight": 1}]})
    assert {("unused", "prompt[].name"), ("unused", "prompt[].weight")} <= set(found.remarks)
