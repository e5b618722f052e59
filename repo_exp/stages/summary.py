"""What ``task=check`` prints of a configuration that can run: its main values, notes, and what your own data hold."""

from __future__ import annotations

from repo_exp.config.reward_sources import trained_on
from repo_exp.config.schema import Config
from repo_exp.stages.asked_sources import evaluation_sources, rubrics
from repo_exp.stages.notices import notices


def checked(config: Config, *, jobs: int = 1, checked: int = 1) -> str:
    """Return the summary of a command that can run.

    Args:
        config: of the first job.
        jobs: how many there are.
        checked: how many combinations of their values were checked.
    """
    if jobs == 1:
        return "\n".join(["Configuration OK.", *summary(config)])
    which = "all checked" if checked == jobs else f"{checked:,} combinations of their values checked"
    return "\n".join([f"Configuration OK: {jobs:,} jobs, {which}. The first one:", *summary(config)])


def summary(config: Config) -> list[str]:
    """Return the main values of a configuration, its notices, and the counts of your own data."""
    lines = {
        "model": f"{config.model.name} ({config.model.source}, {config.model.dtype}), rank {config.model.lora.rank}",
        "data": f"{config.domain.name}, {config.data.kind}",
        "reward": f"{' + '.join(trained_on(config))}, combined by {config.reward.combine}, n = {config.reward.n:g}",
        "judge": config.judge.kind,
        "algorithm": str(config.algorithm["name"]),
        "budget": f"{config.budget.updates} updates of {config.budget.rollouts} responses",
        "machine": f"{config.trainer.accelerator}, {config.trainer.devices} device(s), seed {config.seed}",
    }
    found = [f"  {key:<10} {value}" for key, value in lines.items()]
    found += [f"  note       {each}" for each in notices(config)]
    return found + (own_data_lines(config) if config.data.kind == "jsonl" else [])


def own_data_lines(config: Config) -> list[str]:
    """Return what your own data hold, and what was counted in them.

    Raises:
        DataError: no pair is left to train on.
    """
    from repo_exp.domains.own_data.checking import label_notes
    from repo_exp.stages import data, lengths  # these import torch
    from repo_exp.stages.store import Store

    settings = config.data.model_dump(exclude={"kind"})
    own = data.load(seed=config.seed, **settings)
    pairs, prompts = (
        ", ".join(f"{len(items):,} {split}" for split, items in kind.items())
        for kind in (own.corpus.preferences, own.corpus.prompts)
    )
    found, notes = [f"Data: {own.good:,} pairs ({pairs}); prompts: {prompts}"], list(own.notes)
    asked = evaluation_sources(config)
    for name, rubric in rubrics(config, asked).items():
        notes += label_notes(own.corpus, rubric.names, trained=asked[name]["kind"] == "local_judge")
    tokens = lengths.tokenizer(config.model, store=Store(config.store))
    if tokens is None:
        found.append("Texts longer than the model's window or a response are counted when the run starts.")
    else:
        counts = lengths.count(tokens, own.corpus, max_new_tokens=config.rollout.max_new_tokens)
        readers = lengths.readers(config)
        lengths.require_pairs(counts, readers)
        notes += lengths.notes(counts, readers)
    found += [f"{len(notes)} notes:", *(f"  {note}" for note in notes)] if notes else ["No irregularities found."]
    return found + ([own.bad_lines()] if own.bad else [])
