"""What TRL asks for before it compares anything: a model of a few weights, and a tokenizer of few letters."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ARGUMENTS = {"use_cpu": True, "bf16": False, "report_to": [], "save_strategy": "no", "logging_strategy": "no",
             "disable_tqdm": True}  # fmt: skip


def tokenizer() -> PreTrainedTokenizerFast:
    letters = {letter: number for number, letter in enumerate(["<pad>", "</s>", "<unk>", *LETTERS])}
    inner = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", bos_token="</s>", unk_token="<unk>"
    )


def model() -> LlamaForCausalLM:
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, pad_token_id=0, eos_token_id=1, bos_token_id=1, **shape))
