"""Random tiny models of many architectures, made by ``transformers`` itself, with a tokenizer whose tokens are bytes.

``python -m tests.models.zoo`` prints the table of docs/models.md: how each is run, and how exactly.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

WINDOW = 24  # of models that look back only so far; shorter than every prompt
SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
KEYS = {**SIZE, "num_key_value_heads": 2}
HEADS = {**KEYS, "head_dim": 8}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
MAMBA = {"mamba_d_state": 8, "mamba_expand": 2, "mamba_d_conv": 4}
HYBRID = {**KEYS, **MAMBA, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
SLIDING = ["sliding_attention", "full_attention"]

# model_type of transformers -> what of its configuration is set
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": KEYS,
    "qwen2": KEYS,
    "qwen3": HEADS,
    "mistral": {**KEYS, "sliding_window": WINDOW},
    "mixtral": {**KEYS, **LOCAL, "sliding_window": WINDOW},
    "ministral": {**HEADS, "sliding_window": WINDOW, "layer_types": SLIDING},
    "gemma": HEADS,
    "gemma2": {**HEADS, "sliding_window": WINDOW, "layer_types": SLIDING, "query_pre_attn_scalar": 8},
    "gemma3_text": {**HEADS, "sliding_window": WINDOW, "layer_types": SLIDING, "query_pre_attn_scalar": 8},
    "phi": SIZE,
    "phi3": {**KEYS, "sliding_window": WINDOW},
    "phimoe": {**KEYS, **LOCAL, "sliding_window": WINDOW},
    "cohere": {**KEYS, "logit_scale": 0.25},
    "cohere2": {**KEYS, "sliding_window": WINDOW, "layer_types": SLIDING, "logit_scale": 0.25},
    "granite": {**KEYS, "logits_scaling": 8.0, "residual_multiplier": 0.5, "embedding_multiplier": 6.0},
    "granitemoe": {**KEYS, **LOCAL, "logits_scaling": 8.0},
    "granitemoehybrid": {**HYBRID, **LOCAL, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "olmo": KEYS,
    "olmo2": KEYS,
    "olmo3": {**KEYS, "sliding_window": WINDOW, "layer_types": SLIDING},
    "olmoe": {**KEYS, **MOE},
    "gpt_oss": {**HEADS, **LOCAL, "sliding_window": WINDOW, "layer_types": SLIDING},
    "exaone4": {**KEYS, "sliding_window": WINDOW, "layer_types": SLIDING},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
                "window_size": WINDOW},
    "gpt_neox": SIZE,
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "gpt_bigcode": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "word_embed_proj_dim": 16},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
    "xglm": {"d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4},
    "biogpt": SIZE,
    "stablelm": KEYS,
    "starcoder2": {**KEYS, "sliding_window": WINDOW},
    "persimmon": SIZE,
    "nemotron": KEYS,
    "helium": HEADS,
    "glm": {**HEADS, "pad_token_id": 0},
    "glm4": {**HEADS, "pad_token_id": 0},
    "smollm3": {**KEYS, "pad_token_id": 0},
    "arcee": KEYS,
    "seed_oss": HEADS,
    "ernie4_5": KEYS,
    "hunyuan_v1_dense": HEADS,
    "apertus": KEYS,
    "diffllama": KEYS,
    "bitnet": KEYS,
    "deepseek_v2": {**KEYS, **LATENT, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
                    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4},
    "deepseek_v3": {**KEYS, **LATENT, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
                    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4},
    "qwen2_moe": {**KEYS, **MOE, "shared_expert_intermediate_size": 32},
    "qwen3_moe": {**HEADS, **MOE},
    "qwen3_next": {**HEADS, **MOE, "layer_types": ["linear_attention", "full_attention"],
                   "shared_expert_intermediate_size": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
                   "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "llama4_text": {**HEADS, **LOCAL, "attention_chunk_size": WINDOW, "intermediate_size_mlp": 64,
                    "num_experts_per_tok": 1},
    "minimax": {**HEADS, **LOCAL, "layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "lfm2": {**KEYS, "layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "jamba": {**KEYS, **MAMBA, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1,
              "use_mamba_kernels": False, "mamba_dt_rank": 4},
    "bamba": {**HYBRID, "attn_layer_indices": [1]},
    "falcon_h1": {**HYBRID, "mamba_d_ssm": 64, "head_dim": 8},
    "zamba2": {**KEYS, **MAMBA, "num_mem_blocks": 1, "mamba_headdim": 8, "n_mamba_heads": 8, "mamba_ngroups": 1,
               "layers_block_type": ["mamba", "hybrid"], "chunk_size": 8, "num_key_value_heads": 4},
    "nemotron_h": {**HEADS, "layers_block_type": ["mamba", "attention"], "mamba_num_heads": 8, "mamba_head_dim": 8,
                   "n_groups": 1, "ssm_state_size": 8, "chunk_size": 8},
    "recurrent_gemma": {**HEADS, "block_types": ["recurrent", "attention"], "attention_window_size": WINDOW,
                        "lru_width": 32},
    "mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "mamba2": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8,
               "n_groups": 1, "chunk_size": 8},
    "falcon_mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 1024},
    "gpt_neox_japanese": SIZE,
    "ctrl": {"n_embd": 32, "dff": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024},
}  # fmt: skip


def tiny_model(kind: str, **changes: Any) -> Any:
    """Return a random model of an architecture. Its weights are large enough for a mask to matter."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from repo_exp.models.tokens import byte_tokenizer

    tokenizer = byte_tokenizer()
    settings = {
        "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None, "max_position_embeddings": 1024, **ARCHITECTURES[kind], **changes,
    }  # fmt: skip
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings), dtype=torch.float32)
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "norm" not in name:
                torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    return model.eval()


def save(kind: str, folder: Path, **changes: Any) -> Path:
    """Write a random model of an architecture and its tokenizer, as the hub keeps them."""
    from repo_exp.models.tokens import byte_tokenizer

    tiny_model(kind, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def measure(kind: str, *, engine: str = "auto", **changes: Any) -> Any:
    """Return the route of an architecture's forward passes, and how exact it is."""
    from repo_exp.models.probe import settle

    return settle(backbone(kind, engine=engine, **changes), longest=500)


def backbone(kind: str, *, engine: str = "auto", **changes: Any) -> Any:
    """Return a backbone on a random model of an architecture; the probe has not run."""
    from repo_exp.models.backbone import Backbone
    from repo_exp.models.lora import Lora
    from repo_exp.models.tokens import byte_tokenizer

    lora = Lora(rank=4, alpha=8, target_modules="all-linear", last_layers={})
    return Backbone(tiny_model(kind, **changes), byte_tokenizer(), lora=lora, max_prompt_tokens=400, engine=engine)


def table() -> str:
    """Return the table of docs/models.md."""
    lines = ["| `model_type` | rows | decoding | logits | nats |", "| --- | --- | --- | --- | --- |"]
    for kind in sorted(ARCHITECTURES):
        found = measure(kind)
        head = "product" if found.route.plain_head else "the model's own"
        gap = "< 1e-5" if found.gap < 1e-5 else f"{found.gap:.0e}"
        lines.append(f"| `{kind}` | {found.route.rows} | {found.route.decoding} | {head} | {gap} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
