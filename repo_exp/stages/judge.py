"""judge: the local judge learns to answer the rubric's questions from replies with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repo_exp.config.schema import LocalJudge as LocalJudgeConfig
from repo_exp.learner.objectives import Judging, QuestionsItem
from repo_exp.learner.supervised import SupervisedLearner, heldout_loss
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import answer_yes
from repo_exp.rewards.judge.local import LocalJudge
from repo_exp.rewards.judge.protocol import Judge
from repo_exp.rewards.rubric import Rubric
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Judgement, Message, Reply

VERSION = 1


def make(bench: Workbench, data: Artifact, rubric: Rubric) -> Artifact:
    """Return the judge artifact: ``judge/``, ``quality.json``, ``metrics.json``.

    What an item is worth does not go into it, so that changing points teaches nobody anew.
    """
    config, settings = bench.config, bench.config.judge
    assert isinstance(settings, LocalJudgeConfig)
    inputs = {
        "model": bench.model_inputs(),
        "judge": settings.model_dump(exclude={"hard"}),
        "questions": {item.name: [item.question, item.when] for item in rubric.items},
        "optimizer": bench.optimizer_inputs("judge"),
        "seed": config.seed,
    }

    def build(folder: Path) -> None:
        judgements = read(data).judgements
        backbone = bench.fresh("judge", seed=derived_seed(config.seed, "judge adapter"))
        objective, microbatch_tokens = Judging(), config.trainer.microbatch_tokens
        train = _items(backbone, rubric, judgements.get("train", ()))
        heldout = _items(backbone, rubric, judgements.get("development", ()))
        if train:  # without labels the backbone judges as it is, which the agreement below shows
            bench.fit(
                lambda report: SupervisedLearner(
                    backbone,
                    objective,
                    train,
                    epochs=settings.epochs,
                    batch_size=settings.batch_size,
                    microbatch_tokens=microbatch_tokens,
                    stage="judge",
                    rates={"judge": config.optimizer.learning_rate.judge},
                    optimizer=config.optimizer,
                    seed=config.seed,
                    report=report,
                ),
                folder=folder,
            )
        loss = heldout_loss(backbone, objective, heldout, microbatch_tokens=microbatch_tokens)
        agreement = _agreement(backbone, rubric, judgements.get("development", ()), microbatch_tokens=microbatch_tokens)
        write_json(folder / "quality.json", {"loss/heldout": loss, "trained_on": len(train), "items": agreement})
        backbone.save("judge", folder / "judge")

    return bench.make("judge", build, version=VERSION, inputs=inputs, parents={"data": data})


def judge(bench: Workbench, artifact: Artifact | None, rubric: Rubric) -> Judge:
    """Return the judge that the configuration names; a local one has its artifact."""
    settings = bench.config.judge
    if isinstance(settings, LocalJudgeConfig):
        assert artifact is not None

        def ask(asked: Sequence[tuple[Reply, Sequence[str]]]) -> list[list[float]]:
            backbone = bench.role("judge", artifact)
            prompts = [[_prompt(backbone, reply.context.messages, reply.text, q) for q in qs] for reply, qs in asked]
            return answer_yes(backbone, prompts, microbatch_tokens=bench.config.trainer.microbatch_tokens)

        return LocalJudge(rubric, ask, hard=settings.hard)
    from repo_exp.rewards.judge.openai_judge import OpenAIJudge

    cache = bench.store.root / "judge_cache.sqlite"
    return OpenAIJudge(rubric, cache=cache, **settings.model_dump(exclude={"kind"}))


def _prompt(backbone: Backbone, messages: Sequence[Message], reply: str, question: str) -> list[int]:
    return backbone.tokens.question(messages, reply or "(no reply)", question)


def _items(backbone: Backbone, rubric: Rubric, judgements: Sequence[Judgement]) -> list[QuestionsItem]:
    items = []
    for known in judgements:
        asked = [item for item in rubric.applicable(known.context) if item.name in known.labels]
        if asked:
            prompts = [_prompt(backbone, known.context.messages, known.reply, item.question) for item in asked]
            items.append(QuestionsItem(prompts, [known.labels[item.name] for item in asked]))
    return items


def _agreement(
    backbone: Backbone, rubric: Rubric, judgements: Sequence[Judgement], *, microbatch_tokens: int
) -> list[dict[str, Any]]:
    """Return for each question how often the judge's yes or no is the known one."""
    told = {item.name: {"item": item.name, "n": 0, "agreed": 0, "positives": 0} for item in rubric.items}
    asked = [[item for item in rubric.applicable(known.context) if item.name in known.labels] for known in judgements]
    prompts = [
        [_prompt(backbone, known.context.messages, known.reply, item.question) for item in items]
        for known, items in zip(judgements, asked, strict=True)
    ]
    for known, items, answers in zip(judgements, asked, answer_yes(backbone, prompts, microbatch_tokens=microbatch_tokens), strict=True):
        for item, yes in zip(items, answers, strict=True):
            counted = told[item.name]
            counted["n"] += 1
            counted["agreed"] += (yes >= 0.5) == known.labels[item.name]
            counted["positives"] += known.labels[item.name]
    return [counted for counted in told.values() if counted["n"]]
