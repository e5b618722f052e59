"""Small tokenizers of several kinds, and chat templates that behave as well-known ones do."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-+()[]{}<>|/_'\"&%$#@*=\n"

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}\
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

LLAMA3 = """{% if not date_string is defined %}{% if strftime_now is defined %}\
{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}\
{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}\
{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% set messages = messages[1:] %}{% endif %}\
{{ '<|eot_id|>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' \
+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{% else %}\
{% set loop_messages = messages %}{% set system = '' %}{% endif %}{% for message in loop_messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}\
{% if message['role'] == 'user' %}\
{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim + ' [/INST]' }}\
{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"""

PHI3 = """{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

QWEN3 = """{% for message in messages %}{% set content = message['content'] %}{% if message['role'] == 'assistant' %}\
{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
{{ '<|im_start|>' + message['role'] + '\\n' + content + '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}\
{% endif %}"""

R1 = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}\
{% elif message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}{% else %}\
{{ '<|Assistant|>' + message['content'] + eos_token }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"""

GLM = """{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""

PLAIN = """{{ bos_token }}{% for message in messages %}\
{{ message['role'] | upper + ': ' + message['content'] + '\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"""

# name -> template, special tokens, other added tokens, bos, eos, the token that ends an assistant's turn
FAMILIES = {
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>"], ["<b>", "\n\n"], "<bos>", "<eos>", "<end_of_turn>"),
    "llama3": (LLAMA3, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], [], "<|begin_of_text|>",
               "<|end_of_text|>", "<|eot_id|>"),
    "llama2": (LLAMA2, [], [], "<s>", "</s>", "</s>"),
    "phi3": (PHI3, ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"], [], "<s>", "<|endoftext|>", "<|end|>"),
    "qwen3": (QWEN3, ["<|im_start|>"], ["<think>", "</think>", "<tool_call>"], None, "<|im_end|>", "<|im_end|>"),
    "r1": (R1, ["<|User|>", "<|Assistant|>"], ["<think>", "</think>"], "<bos>", "<eos>", "<eos>"),
    "glm": (GLM, ["<|system|>", "<|assistant|>"], ["<|user|>"], "<sop>", "<|endoftext|>", "<|user|>"),
    "plain": (PLAIN, [], [], "<s>", "</s>", "</s>"),
    "chatml without its tokens": (None, [], [], "<s>", "</s>", "</s>"),
    "chatml": (None, ["<|im_start|>", "<|im_end|>"], [], "<s>", "</s>", "<|im_end|>"),
}  # fmt: skip
KINDS = ("bpe", "unigram", "words")


def tokenizer(kind: str, template: str | None, special: list[str], added: list[str], **named: str | None):
    """Return a tokenizer of a kind with these tokens; words and pieces of a unigram may be found in plain text too."""
    named = {name: token for name, token in named.items() if token is not None}
    special = ["<unk>", *special, *named.values()]
    if kind == "bpe":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
    elif kind == "unigram":
        pieces = [("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
        pieces += [(token, -1.0) for token in (*special[1:], *added)]  # as sentencepiece's user-defined pieces are
        inner = Tokenizer(models.Unigram(pieces, unk_id=0))
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        inner.decoder = decoders.Metaspace(prepend_scheme="first")
        inner.normalizer = normalizers.NFKC()
    else:
        words = ["<unk>", "hello", "fine", "yes", "no", *special[1:], *added]
        inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(special)
    inner.add_tokens([AddedToken(token, normalized=True) for token in added])
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", chat_template=template, **named)


def of_family(name: str, kind: str = "bpe"):
    """Return the tokenizer of a family, and the token that ends an assistant's turn."""
    template, special, added, bos, eos, end = FAMILIES[name]
    return tokenizer(kind, template, special, added, bos_token=bos, eos_token=eos), end
