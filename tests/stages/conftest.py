"""A whole configuration that runs in seconds: the smoke experiment, smaller still."""

from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = [
    "experiment=smoke",
    "logger=jsonl",
    "data.scale=0.002",
    "data.demonstrations=8",
    "data.judgements=6",
    "data.held_out=4",
    "data.prompts={train: 8, development: 4, test: 4}",
    "reward_model.calibration_responses=4",
    "sft.batch_size=8",
    "reward_model.batch_size=8",
    "budget={updates: 2, rollouts: 4}",
    "rollout.max_new_tokens=12",
    "evaluation.resamples=200",
    "evaluation.validation_every=1",
    "evaluation.validation_prompts=2",
    "trainer.checkpoint_every=1",
]


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory) -> Path:
    """A store that the tests of the pipeline share, as runs do: what one made the next one finds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def experiment(tmp_path, shared_store) -> Callable:
    """Return a function that composes, checks and runs a configuration, and returns its run folder."""
    import torch
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from repo_exp.config.check import load
    from repo_exp.config.places import conf_dir
    from repo_exp.stages import pipeline

    torch.set_num_threads(1)

    def run(name: str, *overrides: str) -> Path:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            small = [each for each in SMALL if not (each.startswith("data.") and "data=jsonl" in overrides)]
            cfg = compose("config", overrides=[*small, f"store={shared_store}", *overrides])
        raw = OmegaConf.to_container(cfg, resolve=True)
        folder = tmp_path / name
        pipeline.run(load(cfg), raw=raw, folder=folder, command="python -m repo_exp")
        return folder

    return run
