"""How much of the machine's matrix product rate a training step uses: `python -m bench.learning`.

A step is forward, loss and backward over 16 responses of 64 tokens to prompts of 169, in microbatches, with LoRA on all
linear layers. Products are counted exactly: frozen layers forward and backward, adapters three times, the head
for response tokens twice, attention forward and backward over the whole square.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from bench.machine import describe, fast_dtype, matmul_rate, model_folder, suffix
from bench.workload import THREADS, random_prompts
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import lay_out, response_logp
from repo_exp.models.lora import Lora
from repo_exp.models.source import read
from repo_exp.stages.machine import prepare

RESPONSES, PROMPT, NEW, RUNS = 16, 169, 64, 7


def operations(model: Any, rank: int) -> float:
    """Return the floating-point operations of a step's matrix products."""
    config = model.config
    layers = sum(p.numel() for name, p in model.named_parameters() if "layers" in name and "lora_" not in name)
    low = sum(
        rank * (m.base_layer.in_features + m.base_layer.out_features)
        for m in model.modules()
        if hasattr(m, "base_layer")
    )
    tokens = RESPONSES * (PROMPT + NEW)
    attention = 2 * config.num_attention_heads * model.model.layers[0].self_attn.head_dim * (PROMPT + NEW)
    frozen = 2 * 2 * layers * tokens
    adapters = 3 * 2 * low * tokens
    square = 3 * 2 * attention * config.num_hidden_layers * tokens
    head = 2 * 2 * config.vocab_size * config.hidden_size * RESPONSES * NEW
    return float(frozen + adapters + square + head)


def measure(rank: int, *, microbatch_tokens: int, engine: str, dtype: str) -> dict[str, float]:
    """Return the seconds of a step, and its share of the matrix product rate that was measured next to it."""
    model, tokenizer = read(model_folder(), dtype=getattr(torch, dtype), attention="eager")
    lora = Lora(rank=rank, alpha=rank, target_modules="all-linear", last_layers={})
    backbone = Backbone(model, tokenizer, lora=lora, max_prompt_tokens=4096, engine=engine)
    backbone.add("policy", seed=0)
    prompts, responses = random_prompts(RESPONSES, PROMPT), random_prompts(RESPONSES, NEW)
    rows = [[[*prompt, *response]] for prompt, response in zip(prompts, responses, strict=True)]

    def step() -> None:
        for chosen in backbone.chunks(rows, microbatch_tokens):
            batch = lay_out([prompts[i] for i in chosen], [responses[i] for i in chosen], pad=backbone.tokens.pad)
            with backbone.active_adapter("policy", training=True):
                response_logp(backbone, batch, with_entropy=True)[0].sum().backward()
        for weight in backbone.parameters_of("policy").values():
            weight.grad = None

    for _ in range(2):
        step()
    seconds, rates = [], []
    for _ in range(RUNS):
        rates.append(matmul_rate(getattr(torch, dtype)))
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    spent, rate = statistics.median(seconds), statistics.median(rates)
    reached = operations(model, rank) / spent / 1e9
    return {
        "rank": rank,
        "engine": engine,
        "microbatch_tokens": microbatch_tokens,
        "seconds": round(spent, 2),
        "tokens_a_second": round(RESPONSES * (PROMPT + NEW) / spent),
        "gflops": round(reached),
        "product_rate": round(rate),
        "share": round(reached / rate, 2),
    }


def main() -> None:
    """Measure in the precision that this processor is fast in, and write ``results/learning[_float32].json``."""
    prepare(THREADS)
    rows, dtype = [], fast_dtype()
    points = ((16, 1024, "own"), (16, 1024, "transformers"), (64, 1024, "own"), (64, 2048, "own"))
    for rank, microbatch, engine in points:
        rows.append(measure(rank, microbatch_tokens=microbatch, engine=engine, dtype=dtype))
        print(json.dumps(rows[-1]), flush=True)
    path = Path(__file__).parent / "results" / f"learning{suffix(dtype)}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
