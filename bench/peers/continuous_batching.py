"""Continuous batching of `transformers` on the work of `bench.sampling`: `python -m bench.peers.continuous_batching`.

Run in this package's own environment; a figure beside the others, not a contender by turns.
"""

from __future__ import annotations

import json
import time

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from bench.machine import model_folder
from bench.sampling import BATCH, NEW, PROMPT
from bench.workload import THREADS, random_prompts


def main() -> None:
    """Time one call after a warm-up and print tokens a second."""
    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.bfloat16, attn_implementation="sdpa")

    def run(limit: int) -> int:
        config = GenerationConfig(max_new_tokens=limit, do_sample=True, eos_token_id=-1, pad_token_id=0)
        found = model.generate_batch(inputs=random_prompts(BATCH, PROMPT), generation_config=config, progress_bar=False)
        return sum(len(each.generated_tokens) for each in found.values())

    run(2)
    start = time.perf_counter()
    tokens = run(NEW)
    spent = time.perf_counter() - start
    print(json.dumps({"tokens": tokens, "seconds": round(spent, 1), "tokens_a_second": round(tokens / spent)}))


if __name__ == "__main__":
    main()
