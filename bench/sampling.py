"""Sampling against `transformers`' generate and against what the machine allows: `python -m bench.sampling [--alike]`.

Contenders take turns in one process on the same weights: this package with a LoRA adapter that is not merged,
`generate` without an adapter, its best case, with each of its caches. Where prompts share a prefix, one of them has
read it ahead, as its manual shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from bench.machine import DTYPES, describe, fast_dtype, matmul_rate, memory_rate, model_folder, suffix
from bench.workload import SHARED_PREFIX, THREADS, random_prompts
from repo_exp.models.backbone import Backbone
from repo_exp.models.lora import Lora
from repo_exp.models.source import read
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages.machine import prepare

BATCH, PROMPT, NEW, RANK = 32, 180, 64, 16
CACHES = ("dynamic", "static")


def roofline(model: Any, machine: dict[str, float], *, common: int) -> dict[str, float]:
    """Return the least seconds for reading the prompts and for a step at the measured rates of the machine.

    A step reads every weight once and the whole cache, and multiplies each completion's token with every weight;
    whichever takes longer bounds it. Reading prompts is bound by products. A shared prefix is read once.
    """
    config = model.config
    head = config.vocab_size * config.hidden_size
    layers = sum(p.numel() for name, p in model.named_parameters() if "layers" in name and "lora_" not in name)
    width = model.dtype.itemsize
    keys = 2 * config.num_hidden_layers * config.num_key_value_heads * model.model.layers[0].self_attn.head_dim
    cache = (common + BATCH * (PROMPT - common + NEW / 2)) * keys * width
    memory = ((layers + head) * width + cache) / (machine["memory"] * 1e9)
    products = 2 * BATCH * (layers + head) / (machine["products"] * 1e9)
    reading = 2 * (common + BATCH * (PROMPT - common)) * layers / (machine["products"] * 1e9)
    return {
        "reading": reading,
        "step_memory": memory,
        "step_products": products,
        "whole": reading + NEW * max(memory, products),
    }


def main() -> None:
    """Time every contender in turn and write ``results/sampling[_alike].json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--alike", action="store_true", help=f"all prompts share their first {SHARED_PREFIX} tokens")
    parser.add_argument("--dtype", choices=DTYPES, default=fast_dtype())
    args = parser.parse_args()
    runs, common = args.runs, SHARED_PREFIX if args.alike else 0
    prepare(THREADS)
    model, tokenizer = read(model_folder(), dtype=getattr(torch, args.dtype), attention="sdpa")
    lora = Lora(rank=RANK, alpha=RANK, target_modules="all-linear", last_layers={})
    backbone = Backbone(model, tokenizer, lora=lora, max_prompt_tokens=4096)
    backbone.add("policy", seed=0)
    backbone.tokens.eos, backbone.tokens.other_ends = -1, frozenset()  # no completion ends early
    prompts = random_prompts(BATCH, PROMPT, common=common)
    token_BT = torch.tensor(prompts)

    engine, seeds = TorchEngine(backbone, "policy", batch_size=BATCH), [derived_seed(0, i) for i in range(BATCH)]

    def ours(limit: int) -> None:
        engine.generate(prompts, Sampling(temperature=1.0, max_new_tokens=limit), seeds=seeds)

    def generate(cache: str, limit: int) -> None:
        with torch.no_grad(), backbone.active_adapter("base"):
            more: dict[str, Any] = {}
            if cache == "static":
                more = {"cache_implementation": cache, "disable_compile": True}
            if cache == "prefilled":
                ahead = DynamicCache(config=model.config)
                model(token_BT[:1, :common], past_key_values=ahead, logits_to_keep=1)
                ahead.batch_repeat_interleave(BATCH)
                more = {"past_key_values": ahead}
            model.generate(
                token_BT,
                attention_mask=torch.ones_like(token_BT),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                min_new_tokens=limit,
                max_new_tokens=limit,
                pad_token_id=tokenizer.pad_token_id,
                **more,
            )

    contenders = {"ours": ours} | {
        f"generate, {cache} cache": (lambda limit, cache=cache: generate(cache, limit))
        for cache in (*CACHES, *(("prefilled",) if common else ()))
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    firsts: dict[str, list[float]] = {name: [] for name in contenders}
    for action in contenders.values():
        action(2)
    for _ in range(runs):
        for name, action in contenders.items():
            for limit, kept in ((1, firsts), (NEW, times)):
                start = time.perf_counter()
                action(limit)
                kept[name].append(time.perf_counter() - start)
    machine = {"products": matmul_rate(getattr(torch, args.dtype)), "memory": memory_rate()}
    floor = roofline(model, machine, common=common)
    best = min((name for name in contenders if name != "ours"), key=lambda name: statistics.median(times[name]))
    ratios = [theirs / mine for mine, theirs in zip(times["ours"], times[best], strict=True)]
    result = {
        "machine": describe(),
        "work": {
            "batch": BATCH,
            "prompt": PROMPT,
            "common": common,
            "new_tokens": NEW,
            "rank": RANK,
            "dtype": args.dtype,
        },
        "seconds": {name: [round(s, 3) for s in each] for name, each in times.items()},
        "milliseconds_a_step": {
            name: round(1000 * (statistics.median(times[name]) - statistics.median(firsts[name])) / (NEW - 1), 1)
            for name in contenders
        },
        "tokens_a_second": {name: round(BATCH * NEW / statistics.median(each)) for name, each in times.items()},
        "best_of_generate": best,
        "ratio_to_it": [round(x, 2) for x in sorted(ratios)],
        "roofline_seconds": {name: round(x, 4) for name, x in floor.items()},
        "ours_over_roofline": round(statistics.median(times["ours"]) / floor["whole"], 2),
    }
    path = Path(__file__).parent / "results" / f"sampling{'_alike' if args.alike else ''}{suffix(args.dtype)}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
