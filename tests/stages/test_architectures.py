"""Every architecture of ``docs/models.md`` goes through the whole pipeline. Slow; run with -m slow."""

import json
from pathlib import Path

import pytest
import torch

from repo_exp.models.forward import lay_out, response_logp
from repo_exp.models.probe import settle
from tests.models.zoo import ARCHITECTURES, backbone, save, table

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
TINY = [
    "model=any",
    "model.dtype=float32",
    "model.max_prompt_tokens=400",
    "model.lora.rank=4",
    "model.lora.alpha=8",
    "data.prompts={train: 4, development: 2, test: 2}",
    "budget={updates: 1, rollouts: 4}",
    "evaluation.validation_every=0",
]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_architecture_goes_through_every_stage(experiment, tmp_path, kind) -> None:
    """SFT, reward model, judge, REPO, GRPO, evaluation; and plain peft reads from the policy what we read."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = save(kind, tmp_path / "model")
    for algorithm, settings in (("repo", []), ("grpo", ["algorithm.group_size=2"])):
        where = [f"model.folder={model}", f"store={tmp_path / 'store'}"]
        overrides = [*TINY, *where, f"algorithm={algorithm}", *settings]
        folder = experiment(algorithm, *overrides)
        made = dict(line.split("\t") for line in (folder / "artifacts.tsv").read_text().splitlines())
        assert {"sft", "reward_model", "judge", "policy", "evaluate"} <= made.keys()
        (row,) = [row for row in json.loads((Path(made["policy"]) / "metrics.json").read_text()) if row["step"] == 1]
        assert row["policy/sampler_gap"] < 1e-5
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), Path(made["policy"]) / "policy")
    ours = backbone(kind)
    settle(ours, longest=500)
    ours.load("policy", Path(made["policy"]) / "policy")
    prompt, response = [*range(50, 80)], [*range(90, 100)]
    with torch.no_grad(), ours.active_adapter("policy"):
        found, _ = response_logp(ours, lay_out([prompt], [response], pad=ours.tokens.pad))
        logp_TV = plain.eval()(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    wanted = logp_TV.gather(1, torch.tensor(response)[:, None]).squeeze(1)
    torch.testing.assert_close(found[0], wanted, atol=2e-5, rtol=1e-4)


def test_the_table_is_what_the_probe_finds() -> None:
    """``python -m tests.models.zoo`` writes it."""
    assert table() in DOCUMENT.read_text(encoding="utf-8")
