"""Updates of TRL's GRPOTrainer on the same work: `PYTHONPATH=. PEER_PYTHON bench/peers/trl_grpo.py MODEL_FOLDER`."""

import sys
import tempfile

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.peers.ticks import Ticks
from bench.workload import DTYPE, THREADS, WORK, Clock, digits, random_prompts, shortness

torch.set_num_threads(THREADS)
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, DTYPE))
updates = WORK.warm_up + WORK.timed
wanted = random_prompts(updates * WORK.responses // WORK.group, WORK.prompt_tokens, common=WORK.common_tokens)
# the library takes texts: what a decoded prompt is encoded to may differ by a few tokens, which is reported
texts = [tokenizer.decode(tokens) for tokens in wanted]
lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
clock = Clock()

with tempfile.TemporaryDirectory() as scratch:
    config = trl.GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=WORK.responses,
        num_generations=WORK.group,
        max_completion_length=WORK.new_tokens,
        generation_kwargs={"min_new_tokens": WORK.new_tokens},
        max_steps=updates,
        learning_rate=WORK.learning_rate,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.0,
        loss_type="grpo",
        bf16=DTYPE == "bfloat16",
        use_cpu=True,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
    )
    trl.GRPOTrainer(
        model=model,
        args=config,
        processing_class=tokenizer,
        reward_funcs=[
            lambda completions, **_: shortness(completions),
            lambda completions, **_: digits(completions),
        ],
        train_dataset=Dataset.from_dict({"prompt": texts}),
        peft_config=LoraConfig(
            r=WORK.rank, lora_alpha=WORK.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
        ),
        callbacks=[Ticks(clock)],
    ).train()
clock.report(
    f"TRL {trl.__version__} GRPO", torch=torch.__version__, threads=torch.get_num_threads(), prompt_lengths=lengths
)
