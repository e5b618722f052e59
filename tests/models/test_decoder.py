"""The package's own forward pass against the library's modules: the same numbers, the same gradients."""

import pytest
import torch

from repo_exp.errors import ModelError
from repo_exp.models.forward import lay_out, response_logp, response_values
from repo_exp.models.packing import pack
from repo_exp.models.session import DecoderSession
from repo_exp.models.transformers_body import Body
from repo_exp.models.transformers_session import transformers_session

GROUPS = [[[5, 6, 7, 8, 9, 10], [5, 6, 7, 20, 21]], [[3, 4, 5]], [[9, 9, 9, 1], [9, 9, 9, 2], [9, 9, 3, 3, 3]]]
START = [*range(30, 42)]  # the prefix that all rows of ALIKE share
ALIKE = [[[*START, 5, 6, 7, 8], [*START, 5, 20, 21]], [[*START, 3]], [[*START, 9, 9, 1], [*START, 9, 9, 3, 3, 3, 3]]]
PROMPTS = [[*range(30, 42), 5, 6, 7], [*range(30, 42), 9], [*range(30, 42), 5, 6, 7], [*range(30, 42), 11, 12]]
SHAPES = pytest.mark.parametrize(
    "how",
    [
        {"architecture": "llama"},
        {"architecture": "qwen3"},
        {"architecture": "qwen3", "last_layers": {"policy": 1}},
        {"architecture": "llama", "target_modules": ["q_proj", "v_proj", "down_proj"]},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)


@SHAPES
@pytest.mark.parametrize("groups", [GROUPS, ALIKE], ids=["different", "alike"])
@pytest.mark.parametrize("role", ["policy", "base"])
def test_hidden_states_are_the_librarys(tiny, how, role, groups) -> None:
    packed, found = pack(groups, pad=0), []
    assert packed.shared == (12 if groups is ALIKE else 0)
    for engine in ("own", "transformers"):
        backbone = tiny("policy", engine=engine, **how)
        with torch.no_grad(), backbone.active_adapter(role):
            hidden = backbone.hidden(packed)
        found.append(
            torch.cat(
                [
                    hidden[row, column[:n]]
                    for row, column, n in zip(packed.row_N, packed.column_NL, packed.length_N, strict=True)
                ]
            )
        )
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


@SHAPES
@pytest.mark.parametrize("start", [[], START], ids=["different", "alike"])
def test_gradients_are_the_librarys(tiny, how, start) -> None:
    prompts = [[*start, 5, 6, 7, 8], [*start, 9, 8], [*start, 9, 8]]
    batch, found = lay_out(prompts, [[10, 11], [12, 13, 14, 2], [15]], pad=0), []
    assert batch.packed.shared == len(start)
    for engine in ("own", "transformers"):
        backbone = tiny("policy", "value", engine=engine, **how)
        with backbone.active_adapter("policy", training=True):
            (response_logp(backbone, batch)[0].exp() * batch.mask_NR).sum().backward()
        with backbone.active_adapter("value", training=True):
            (response_values(backbone, batch).square() * batch.mask_NR).sum().backward()
        names = {role: backbone.parameters_of(role) for role in ("policy", "value")}
        found.append({(role, name): p.grad for role in names for name, p in names[role].items()})
    own, library = found
    assert own.keys() == library.keys() and any(g.abs().max() > 1e-3 for g in own.values())
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, library[name], atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    "prompts",
    [PROMPTS, [[*START, n] for n in (5, 6, 5)], [[*START, 5]] * 3],
    ids=["longer", "one token more", "the same"],
)
@pytest.mark.parametrize("kept_once", [12, 13], ids=["once", "copied"])
@pytest.mark.parametrize(("architecture", "growth"), [("llama", 64), ("llama", 1), ("qwen3", 3)])
def test_a_session_gives_the_librarys_hidden_states(
    tiny, monkeypatch, architecture, growth, kept_once, prompts
) -> None:
    """Prompts with a shared prefix, some of them twice; then tokens, then fewer rows; room grows on the way."""
    monkeypatch.setattr("repo_exp.models.session.GROWTH", growth)
    monkeypatch.setattr("repo_exp.models.session.KEPT_ONCE", kept_once)
    backbone = tiny("policy", architecture=architecture)
    with torch.no_grad(), backbone.active_adapter("policy"):
        own = backbone.session(prompts, room=4)
        library = transformers_session(Body(backbone.model), prompts, pad=backbone.tokens.pad, decoding="padded")
        assert isinstance(own, DecoderSession)
        assert (own._cache.shared_prefix(0) is not None) == (kept_once == 12)
        torch.testing.assert_close(own.last_BH, library.last_BH, atol=1e-5, rtol=1e-5)
        for number in range(4):
            token_B = torch.arange(len(own.last_BH)) + 10 * number
            torch.testing.assert_close(own.step(token_B), library.step(token_B), atol=1e-5, rtol=1e-5)
            if number == 1:
                for session in (own, library):
                    session.select(torch.tensor([2, 0]))


@pytest.mark.parametrize("kept_once", [12, 13], ids=["once", "copied"])
def test_reading_in_parts_changes_nothing(tiny, monkeypatch, kept_once) -> None:
    monkeypatch.setattr("repo_exp.models.session.KEPT_ONCE", kept_once)
    backbone = tiny("policy")
    with torch.no_grad(), backbone.active_adapter("policy"):
        whole = backbone.session(PROMPTS, room=1)
        monkeypatch.setattr("repo_exp.models.session.READ_AT_ONCE", 4)
        parts = backbone.session(PROMPTS, room=1)
        torch.testing.assert_close(parts.last_BH, whole.last_BH)
        token_B = torch.tensor([1, 2, 3, 4])
        torch.testing.assert_close(parts.step(token_B), whole.step(token_B))


@pytest.mark.parametrize("groups", [GROUPS, ALIKE], ids=["different", "alike"])
def test_bfloat16_stays_near_the_library(tiny, groups) -> None:
    """Two roundings of the same numbers: they differ by a few units of the last place of bfloat16."""
    packed, found = pack(groups, pad=0), []
    for engine in ("own", "transformers"):
        backbone = tiny("policy", engine=engine, dtype=torch.bfloat16)
        with torch.no_grad(), backbone.active_adapter("policy"):
            found.append(packed.gather(backbone.hidden(packed), (packed.length_N - 1)[:, None]).float())
    torch.testing.assert_close(*found, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merged_adapter_gives_the_adapters_hidden_states(tiny, monkeypatch, dtype) -> None:
    """Where weights are packed, sampling adds the adapter into a copy; one rounding more, and the copy goes away."""
    backbone = tiny("policy", dtype=dtype)
    if not backbone.path.decoder.can_merge:
        pytest.skip("oneDNN packs no bfloat16 weights for this processor")
    found = []
    for least in (10**9, 1):
        monkeypatch.setattr("repo_exp.models.forward_path.WORTH_MERGING", least)
        with torch.no_grad(), backbone.active_adapter("policy"):
            session = backbone.session(PROMPTS, room=4)
            assert (backbone.path.merged is not None) == (least == 1)
            found.append(session.step(torch.tensor([1, 2, 3, 4])).float())
        assert backbone.path.merged is None
    with torch.no_grad(), backbone.active_adapter("base"):
        base = backbone.session(PROMPTS, room=4).step(torch.tensor([1, 2, 3, 4])).float()
    off = (found[1] - found[0]).abs().mean()
    assert 0 < off < 0.1 * (base - found[0]).abs().mean()


def test_only_a_forward_pass_that_shares_a_prefix_gets_as_many_rows(tiny) -> None:
    rows = [[[*START, n]] for n in range(6)]
    assert list(map(len, tiny(engine="own").chunks(rows, 26))) == [6]
    assert list(map(len, tiny(engine="transformers").chunks(rows, 26))) == [2, 2, 2]


def test_an_architecture_without_an_own_forward_pass_is_refused_or_left_to_the_library(tiny) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from repo_exp.models.backbone import Backbone
    from repo_exp.models.decoder import supports
    from repo_exp.models.lora import Lora
    from repo_exp.models.source import byte_tokenizer

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=259))
    assert not supports(model) and supports(tiny().model)
    with pytest.raises(ModelError, match="GPT2LMHeadModel"):
        Backbone(model, byte_tokenizer(), lora=Lora(1, 1, "all-linear", {}), max_prompt_tokens=9, engine="own")
