"""judge: a local judge is trained on responses labelled with the rubric's answers; one for each source."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.config.reward_sources import settings_of
from repo_exp.config.schema import Config, LocalJudge
from repo_exp.core.probability import log_odds, ranked_right, shifted
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import answer_yes
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rewards.judge.prompt import one_line
from repo_exp.rewards.rubric import Item, Rubric
from repo_exp.rewards.sources.local_judge import Ask
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.asked_sources import evaluation_sources, rubric_of, stage_name
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.fitting import fit_supervised
from repo_exp.stages.records import TrainingInputs, training_inputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import JudgeLoss, QuestionsItem
from repo_exp.types import Judgement, Message, Trajectory

NOTHING = "(no reply)"  # part of what the model reads, as "Reply:" below


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a rubric, without the points they carry: changing points trains nothing again.

    Attributes:
        rubric: with its points, which training does not read.
    """

    rubric: Rubric

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of the rubric."""
        return tuple(self.rubric.items)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Each item's question, and when it is asked."""
        return {item.name: [item.question, item.when] for item in self.items}


@dataclass(frozen=True, slots=True)
class JudgeInputs:
    """What the training of a local judge reads.

    Attributes:
        training: its seed is that of the source.
        turns: last turns of the dialogue that it reads; None is all of it.
    """

    training: TrainingInputs
    questions: Questions
    epochs: int
    batch_size: int
    turns: int | None


class JudgeStage(Stage[JudgeInputs]):
    """Leaves ``judge/``, ``offsets.json``, ``quality.json``, ``metrics.json``.

    Args:
        source: of the reward that asks it.
    """

    version = 4

    def __init__(self, source: str) -> None:
        self.source, self.name = source, stage_name("judge", source)

    def inputs(self, config: Config) -> JudgeInputs:
        """Return what the training reads."""
        return inputs_of(config, self.source)

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus."""
        return {"data": "data"}

    def build(self, inputs: JudgeInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Train on labelled responses, and measure the agreement with held-out labels."""
        judgements, rubric, seed = read(parents["data"]).judgements, inputs.questions.rubric, inputs.training.seed
        labelled, held = judgements.get("train", ()), judgements.get("development", ())
        # the strings are part of the seeds
        backbone = run.model(inputs.training.model).fresh("judge", seed=derived_seed(seed, "judge adapter"))
        examples_seed = derived_seed(seed, "judge lessons")
        train, counts = _items(backbone.tokens, rubric, labelled, turns=inputs.turns, seed=examples_seed)
        if train:  # without labels the backbone judges as it is, which the agreement below shows
            fit_supervised(
                run,
                inputs.training,
                JudgeLoss(),
                train,
                stage=self.name,
                epochs=inputs.epochs,
                batch_size=inputs.batch_size,
                folder=folder,
            )
        offsets = _offsets(rubric, labelled, counts) if train else {}
        by_question = {item.question: offsets.get(item.name, 0.0) for item in rubric.items}
        budget = run.machine.microbatch_tokens
        agreement = _agreement(
            backbone, rubric, held, turns=inputs.turns, offsets=by_question, microbatch_tokens=budget
        )
        write_json(folder / "offsets.json", by_question)
        write_json(folder / "quality.json", {"trained_on": len(train), "items": agreement})
        backbone.save("judge", folder / "judge")


def inputs_of(config: Config, source: str) -> JudgeInputs:
    """Return what the training of a source's judge reads."""
    entry = evaluation_sources(config)[source]
    settings = settings_of(entry)
    assert isinstance(settings, LocalJudge)
    return JudgeInputs(
        training_inputs(config, "judge", seed=entry["seed"]),
        Questions(rubric_of(config, entry)),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        turns=settings.turns,
    )


def function(run: RunContext, inputs: JudgeInputs, trained: Artifact) -> Ask:
    """Return the local judge as a function: responses with their questions -> P(yes) of each.

    Args:
        trained: the artifact of :class:`JudgeStage`.
    """

    def ask_adapter(asked: Sequence[tuple[Trajectory, Sequence[str]]]) -> list[list[float]]:
        return ask(
            run.model(inputs.training.model).role("judge", trained),
            [(each.prompt.messages, each.response, questions) for each, questions in asked],
            turns=inputs.turns,
            offsets=trained.read("offsets.json"),
            microbatch_tokens=run.machine.microbatch_tokens,
        )

    return ask_adapter


def _prompt(
    tokens: ChatTokenizer, messages: Sequence[Message], response: str, question: str, *, turns: int | None
) -> list[int]:
    """Return the question as the local judge reads it: the last turns as an excerpt, or the whole dialogue.

    Every turn, the response and the question is one line, so that no text can pass for another turn, or for the
    question, by a line break of its own.
    """
    if turns is None:
        turns_in_lines = [message if message.role == "system" else Message(message.role, one_line(message.content))
                for message in messages]  # fmt: skip
        return tokens.question(turns_in_lines, one_line(response) or NOTHING, question)
    last = [message for message in messages if message.role != "system"][-turns:]
    excerpt = [("Agent" if message.role == "assistant" else "Partner", message.content) for message in last]
    lines = [f"{who}: {one_line(content)}" for who, content in excerpt]
    text = "\n".join([*lines, f"Reply: {one_line(response) or NOTHING}", question])
    return tokens.prompt([Message("system", "You judge the reply."), Message("user", text)])


def _items(
    tokens: ChatTokenizer, rubric: Rubric, judgements: Sequence[Judgement], *, turns: int | None, seed: int
) -> tuple[list[QuestionsItem], dict[str, tuple[int, int]]]:
    """Return the training examples, and how often each question is answered (no, yes) in it.

    Responses to one prompt form one item. It asks the questions whose answers differ among them, and one more:
    the contrast shows what a rare "yes" looks like, which a hundred examples of "no" do not.
    """
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(judgement.prompt.id, []).append(judgement)
    items, counts = [], {item.name: (0, 0) for item in rubric.items}
    rng = random.Random(seed)
    for group in groups.values():
        asked = [item for item in rubric.applicable(group[0].prompt) if all(item.name in k.labels for k in group)]
        telling = [item for item in asked if len({each.labels[item.name] for each in group}) > 1]
        others = [item for item in asked if item not in telling]
        if len(group) > 1 and telling:
            asked = telling + rng.sample(others, min(1, len(others)))
        pairs = [(judgement, item) for judgement in group for item in asked]
        if not pairs:
            continue
        prompts = [_prompt(tokens, k.prompt.messages, k.response, item.question, turns=turns) for k, item in pairs]
        items.append(QuestionsItem(prompts, [k.labels[item.name] for k, item in pairs]))
        for judgement, item in pairs:
            no, yes = counts[item.name]
            counts[item.name] = (no + (not judgement.labels[item.name]), yes + judgement.labels[item.name])
    return items, counts


def _offsets(
    rubric: Rubric, judgements: Sequence[Judgement], counts: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Return for each question how its share of "yes" in the training examples differs from all labels, in log-odds.

    The training examples ask what differs, so "yes" is commoner in them. Adding the offset to what the judge says
    gives P(yes) for responses as they come. One is added to every count.
    """
    offsets = {}
    for item in rubric.items:
        labels = [
            k.labels[item.name] for k in judgements if item in rubric.applicable(k.prompt) and item.name in k.labels
        ]
        no, yes = counts[item.name]
        usual = log_odds(sum(labels) + 1, len(labels) - sum(labels) + 1)
        offsets[item.name] = usual - log_odds(yes + 1, no + 1)
    return offsets


def ask(
    backbone: Backbone,
    asked: Sequence[tuple[Sequence[Message], str, Sequence[str]]],
    *,
    turns: int | None,
    offsets: Mapping[str, float],
    microbatch_tokens: int,
) -> list[list[float]]:
    """Return P(yes) of each question about each (messages, response, questions).

    Raises:
        NotFiniteError: of two questions or more none has an answer that is finite.
    """
    prompts = [
        [_prompt(backbone.tokens, messages, response, question, turns=turns) for question in questions]
        for messages, response, questions in asked
    ]
    answers = answer_yes(backbone, prompts, microbatch_tokens=microbatch_tokens)
    every = [yes for each in answers for yes in each]
    if len(every) > 1:
        require_some(every, role="judge", what="answers")
    return [
        [shifted(yes, offsets.get(question, 0.0)) for yes, question in zip(each, questions, strict=True)]
        for each, (_, _, questions) in zip(answers, asked, strict=True)
    ]


def _agreement(backbone: Backbone, rubric: Rubric, judgements: Sequence[Judgement], **how: Any) -> list[dict[str, Any]]:
    """Return for each question how often the judge's yes or no is the label, and how well it ranks responses."""
    answered: dict[str, dict[bool, list[float]]] = {item.name: {True: [], False: []} for item in rubric.items}
    asked = [[item for item in rubric.applicable(k.prompt) if item.name in k.labels] for k in judgements]
    questions = [
        (k.prompt.messages, k.response, [item.question for item in items])
        for k, items in zip(judgements, asked, strict=True)
    ]
    found = ask(backbone, questions, **how)
    require_all([yes for each in found for yes in each], role="judge", what="answers about held-out responses")
    for judgement, items, answers in zip(judgements, asked, found, strict=True):
        for item, yes in zip(items, answers, strict=True):
            answered[item.name][judgement.labels[item.name]].append(yes)
    return [
        {
            "item": name,
            "n": len(by_label[True]) + len(by_label[False]),
            "agreed": sum(yes >= 0.5 for yes in by_label[True]) + sum(yes < 0.5 for yes in by_label[False]),
            "positives": len(by_label[True]),
            "ranked": ranked_right(by_label[True], by_label[False]),
        }
        for name, by_label in answered.items()
        if by_label[True] or by_label[False]
    ]
