"""judge: a local judge is trained on replies whose answers to the rubric's questions are known; one for each source."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.config.reward_sources import settings_of
from repo_exp.config.schema import Config, LocalJudge, OpenaiJudge
from repo_exp.core.probability import log_odds, ranked_right, shifted
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import answer_yes
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rewards.judge.openai_judge import OpenAIJudge
from repo_exp.rewards.judge.prompt import one_line
from repo_exp.rewards.rubric import Rubric
from repo_exp.rewards.sources.local_judge import Ask
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.training.losses import Judging, QuestionsItem
from repo_exp.types import Judgement, Message, Reply

VERSION = 3
NOTHING = "(no reply)"


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """Which local judge a source asks for.

    Attributes:
        name: of the source.
        settings: its section ``judge``.
        seed: of its initialisation and its training examples.
    """

    name: str
    settings: LocalJudge
    seed: int

    @property
    def stage(self) -> str:
        """The name of the stage, which is part of its seed: as it is for the source ``judge``."""
        return "judge" if self.name == "judge" else f"judge_{self.name}"


def spec_of(config: Config, name: str, entry: Mapping[str, Any]) -> JudgeSpec:
    """Return which judge a source asks for."""
    settings = settings_of(entry)
    assert isinstance(settings, LocalJudge)
    return JudgeSpec(name, settings, config.seed if entry["seed"] is None else entry["seed"])


def make(bench: Workbench, data: Artifact, rubric: Rubric, spec: JudgeSpec) -> Artifact:
    """Return the judge artifact: ``judge/``, ``quality.json``, ``metrics.json``.

    Points are no part of it, so changing points trains nothing again.
    """
    config, settings = bench.config, spec.settings
    inputs = {
        "model": bench.model_inputs(),
        "judge": settings.model_dump(exclude={"hard"}),
        "questions": {item.name: [item.question, item.when] for item in rubric.items},
        "optimizer": bench.optimizer_inputs("judge"),
        "seed": spec.seed,
    }

    def build(folder: Path) -> None:
        judgements = read(data).judgements
        labelled, held = judgements.get("train", ()), judgements.get("development", ())
        backbone = bench.fresh("judge", seed=derived_seed(spec.seed, "judge adapter"))
        objective, microbatch_tokens = Judging(), config.trainer.microbatch_tokens
        seed = derived_seed(spec.seed, "judge lessons")
        train, counts = _items(backbone.tokens, rubric, labelled, turns=settings.turns, seed=seed)
        if train:  # without labels the backbone judges as it is, which the agreement below shows
            bench.teach(
                spec.stage,
                objective,
                train,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=config.optimizer.learning_rate.judge,
                seed=spec.seed,
                folder=folder,
            )
        offsets = _offsets(rubric, labelled, counts) if train else {}
        by_question = {item.question: offsets.get(item.name, 0.0) for item in rubric.items}
        agreement = _agreement(
            backbone, rubric, held, turns=settings.turns, offsets=by_question, microbatch_tokens=microbatch_tokens
        )
        write_json(folder / "offsets.json", by_question)
        write_json(folder / "quality.json", {"trained_on": len(train), "items": agreement})
        backbone.save("judge", folder / "judge")

    return bench.make(spec.stage, build, version=VERSION, inputs=inputs, parents={"data": data})


def function(bench: Workbench, spec: JudgeSpec, artifact: Callable[[], Artifact]) -> Ask:
    """Return the local judge as a function: replies with their questions -> P(yes) of each.

    Args:
        artifact: what :func:`make` returned; asked when the first replies are judged.
    """

    def ask_adapter(asked: Sequence[tuple[Reply, Sequence[str]]]) -> list[list[float]]:
        trained = artifact()
        return ask(
            bench.role("judge", trained),
            [(reply.prompt.messages, reply.response, questions) for reply, questions in asked],
            turns=spec.settings.turns,
            offsets=trained.read("offsets.json"),
            microbatch_tokens=bench.config.trainer.microbatch_tokens,
        )

    return ask_adapter


def remote(bench: Workbench, entry: Mapping[str, Any], rubric: Rubric) -> OpenAIJudge:
    """Return the judge behind an endpoint that a source asks; all share one cache in the store."""
    settings = settings_of(entry)
    assert isinstance(settings, OpenaiJudge)
    cache = bench.store.root / "judge_cache.sqlite"
    return OpenAIJudge(rubric, cache=cache, **settings.model_dump(exclude={"kind"}))


def _prompt(
    tokens: ChatTokenizer, messages: Sequence[Message], reply: str, question: str, *, turns: int | None
) -> list[int]:
    """Return the question as the local judge reads it: the last turns as an excerpt, or the whole dialogue.

    Every turn, the reply and the question is one line, so that no text can pass for another turn, or for the question,
    by a line break of its own.
    """
    if turns is None:
        turns_in_lines = [message if message.role == "system" else Message(message.role, one_line(message.content))
                for message in messages]  # fmt: skip
        return tokens.question(turns_in_lines, one_line(reply) or NOTHING, question)
    last = [message for message in messages if message.role != "system"][-turns:]
    excerpt = [("Agent" if message.role == "assistant" else "Partner", message.content) for message in last]
    lines = [f"{who}: {one_line(content)}" for who, content in excerpt]
    text = "\n".join([*lines, f"Reply: {one_line(reply) or NOTHING}", question])
    return tokens.context([Message("system", "You judge the reply."), Message("user", text)])


def _items(
    tokens: ChatTokenizer, rubric: Rubric, judgements: Sequence[Judgement], *, turns: int | None, seed: int
) -> tuple[list[QuestionsItem], dict[str, tuple[int, int]]]:
    """Return what is learnt from, and how often each question is answered (no, yes) in it.

    Replies to one context form one item. It asks the questions whose answers differ among them, and one more:
    the contrast teaches what a rare "yes" looks like, which a hundred times "no" does not.
    """
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(judgement.context.id, []).append(judgement)
    items, counts = [], {item.name: (0, 0) for item in rubric.items}
    rng = random.Random(seed)
    for group in groups.values():
        asked = [item for item in rubric.applicable(group[0].context) if all(item.name in k.labels for k in group)]
        telling = [item for item in asked if len({each.labels[item.name] for each in group}) > 1]
        others = [item for item in asked if item not in telling]
        if len(group) > 1 and telling:
            asked = telling + rng.sample(others, min(1, len(others)))
        pairs = [(judgement, item) for judgement in group for item in asked]
        if not pairs:
            continue
        prompts = [_prompt(tokens, k.context.messages, k.reply, item.question, turns=turns) for k, item in pairs]
        items.append(QuestionsItem(prompts, [k.labels[item.name] for k, item in pairs]))
        for judgement, item in pairs:
            no, yes = counts[item.name]
            counts[item.name] = (no + (not judgement.labels[item.name]), yes + judgement.labels[item.name])
    return items, counts


def _offsets(
    rubric: Rubric, judgements: Sequence[Judgement], counts: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Return for each question how the share of "yes" in the lessons differs from that in all labels, in log-odds.

    The lessons ask what differs, so "yes" is commoner in them. Adding the offset to what the judge says
    gives P(yes) for replies as they come. One is added to every count.
    """
    offsets = {}
    for item in rubric.items:
        labels = [
            k.labels[item.name] for k in judgements if item in rubric.applicable(k.context) and item.name in k.labels
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
    """Return P(yes) of each question about each (messages, reply, questions).

    Raises:
        NotFiniteError: of two questions or more none has an answer that is finite.
    """
    prompts = [
        [_prompt(backbone.tokens, messages, reply, question, turns=turns) for question in questions]
        for messages, reply, questions in asked
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
    """Return for each question how often the judge's yes or no is the label, and how well it ranks replies."""
    counts = {
        item.name: {"item": item.name, "n": 0, "agreed": 0, "positives": 0, "yes": [], "no": []}
        for item in rubric.items
    }
    asked = [[item for item in rubric.applicable(k.context) if item.name in k.labels] for k in judgements]
    questions = [
        (k.context.messages, k.reply, [item.question for item in items])
        for k, items in zip(judgements, asked, strict=True)
    ]
    found = ask(backbone, questions, **how)
    require_all([yes for each in found for yes in each], role="judge", what="answers about held-out replies")
    for judgement, items, answers in zip(judgements, asked, found, strict=True):
        for item, yes in zip(items, answers, strict=True):
            counted, label = counts[item.name], judgement.labels[item.name]
            counted["n"] += 1
            counted["agreed"] += (yes >= 0.5) == label
            counted["positives"] += label
            counted["yes" if label else "no"].append(yes)
    for counted in counts.values():
        counted["ranked"] = ranked_right(counted.pop("yes"), counted.pop("no"))
    return [counted for counted in counts.values() if counted["n"]]
