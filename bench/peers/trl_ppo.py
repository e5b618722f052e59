"""Updates of TRL's last PPOTrainer on the same work: `PYTHONPATH=. PEER_PYTHON bench/peers/trl_ppo.py MODEL_FOLDER`.

The value model is wrapped in LoRA as the policy is. The trainer runs the reference in every update, also with
a KL weight of 0; there is no switch.
"""

import sys
import tempfile

import torch
import trl
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer

from bench.peers.ticks import Ticks
from bench.workload import DTYPE, THREADS, WORK, Clock, random_prompts

torch.set_num_threads(THREADS)
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
lora = {"r": WORK.rank, "lora_alpha": WORK.alpha, "target_modules": "all-linear", "lora_dropout": 0.0}
policy = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, DTYPE))


def scorer() -> torch.nn.Module:
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=getattr(torch, DTYPE))
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


value = get_peft_model(scorer(), LoraConfig(**lora, task_type="SEQ_CLS")).base_model.model
reward = scorer()
updates = WORK.warm_up + WORK.timed
wanted = random_prompts(updates * WORK.responses, WORK.prompt_tokens, common=WORK.common_tokens)
clock = Clock()

with tempfile.TemporaryDirectory() as scratch:
    config = PPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=WORK.responses,
        gradient_accumulation_steps=1,
        num_ppo_epochs=1,
        num_mini_batches=1,
        total_episodes=updates * WORK.responses,
        local_rollout_forward_batch_size=WORK.responses,
        response_length=WORK.new_tokens,
        learning_rate=WORK.learning_rate,
        kl_coef=0.0,
        temperature=1.0,
        bf16=DTYPE == "bfloat16",
        use_cpu=True,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        num_sample_generations=0,
    )
    PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": wanted}),
        eval_dataset=Dataset.from_dict({"input_ids": wanted[: WORK.responses]}),
        peft_config=LoraConfig(**lora, task_type="CAUSAL_LM"),
        callbacks=[Ticks(clock)],
    ).train()
clock.report(f"TRL {trl.__version__} PPO", torch=torch.__version__, threads=torch.get_num_threads())
