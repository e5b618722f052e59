"""What the tests share: a tiny model, and one thread, since two contending ones are slower than one."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable

import pytest
from hypothesis import settings

# the same examples every time, and no opinion on how long one may take: other work may share the machine
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 4, "key_value_heads": 2}
LORA = {"rank": 4, "alpha": 8, "target_modules": "all-linear", "last_layers": {}}


@pytest.fixture
def tiny() -> Callable:
    """Return a maker of tiny backbones; each call gives the same weights."""
    import torch

    from repo_exp.models.backbone import Backbone
    from repo_exp.models.lora import Lora
    from repo_exp.models.source import RandomShape, random_model

    torch.set_num_threads(1)

    def make(
        *roles: str,
        architecture: str = "llama",
        attention: str = "eager",
        dtype=torch.float32,
        engine: str = "auto",
        **lora,
    ) -> Backbone:
        shape = RandomShape(**SHAPE, architecture=architecture)
        model, tokenizer = random_model(shape, dtype=dtype, attention=attention, seed=0)
        backbone = Backbone(model, tokenizer, lora=Lora(**LORA | lora), max_prompt_tokens=400, engine=engine)
        for number, role in enumerate(roles):
            backbone.add(role, seed=number)
            generator = torch.Generator().manual_seed(number)
            for weight in backbone.parameters_of(role).values():  # a fresh adapter is silent: its B is 0
                weight.data = (torch.randn(weight.shape, generator=generator) * 0.1).to(weight.dtype)
        return backbone

    return make
