"""The routes of a forward pass: which one a backbone takes, and what switching the active adapter changes."""

import pytest
import torch

from repo_exp.errors import ModelError
from repo_exp.models.forward_path import WORTH_MERGING, OwnPath, Route, TransformersPath
from repo_exp.models.packing import pack

PACKED = pack([[[5, 6, 7], [5, 6, 8]], [[9, 10]]], pad=0)
ROUTES = [
    Route("own", "own", True),
    Route("packed", "padded", True),
    Route("packed", "same_length", False),
    Route("separate", "no_cache", True),
]


def last_states(backbone, role: str) -> torch.Tensor:
    with torch.no_grad(), backbone.active_adapter(role):
        return backbone.hidden_at(PACKED, (PACKED.length_N - 1)[:, None])


@pytest.mark.parametrize("route", ROUTES[1:], ids=lambda route: f"{route.rows}-{route.decoding}")
def test_every_route_gives_the_same_states_logits_and_completions(tiny, route) -> None:
    own, other = tiny("policy"), tiny("policy", engine="transformers")
    other.take_route(route)
    assert isinstance(own.path, OwnPath) and isinstance(other.path, TransformersPath)
    for role in ("policy", "base"):
        torch.testing.assert_close(last_states(other, role), last_states(own, role), atol=1e-5, rtol=1e-5)
    with torch.no_grad(), own.active_adapter("policy"), other.active_adapter("policy"):
        mine, theirs = (each.session([[5, 6, 7], [8, 9], [5, 6, 7]], room=3) for each in (own, other))
        for _ in range(2):
            torch.testing.assert_close(other.head(theirs.last_BH), own.head(mine.last_BH), atol=1e-5, rtol=1e-5)
            token_B = own.head(mine.last_BH).argmax(-1)
            mine.step(token_B), theirs.step(token_B)
        for session in (mine, theirs):
            session.select(torch.tensor([2, 1]))
        torch.testing.assert_close(theirs.last_BH, mine.last_BH, atol=1e-5, rtol=1e-5)


def test_the_engine_decides_which_routes_share_rows(tiny) -> None:
    assert tiny().route == Route("own", "own", True)
    assert tiny(engine="transformers").route.rows == "separate", "until the probe has found more"
    backbone = tiny()
    shares = []
    for route in ROUTES:
        backbone.take_route(route)
        shares.append(backbone.packs)
    assert shares == [True, True, True, False]


def test_taking_the_same_route_again_builds_nothing(tiny) -> None:
    backbone = tiny()
    path = backbone.path
    backbone.take_route(Route("own", "own", True))
    assert backbone.path is path
    backbone.take_route(ROUTES[1])
    assert backbone.path is not path


@pytest.mark.parametrize("engine", ["own", "transformers"])
def test_an_inner_role_leaves_the_outer_one_as_it_was(tiny, engine) -> None:
    backbone = tiny("policy", "judge", engine=engine)
    alone = {role: last_states(backbone, role) for role in ("policy", "judge", "base")}
    with torch.no_grad(), backbone.active_adapter("policy"):
        for inner in ("judge", "base"):
            torch.testing.assert_close(last_states(backbone, inner), alone[inner])
            states = backbone.hidden_at(PACKED, (PACKED.length_N - 1)[:, None])
            torch.testing.assert_close(states, alone["policy"])
    assert not torch.allclose(alone["policy"], alone["judge"])


def test_a_role_that_is_missing_changes_nothing(tiny) -> None:
    backbone = tiny("policy")
    alone = last_states(backbone, "policy")
    with torch.no_grad(), backbone.active_adapter("policy"):
        with pytest.raises(ModelError, match="'judge' was not added"), backbone.active_adapter("judge"):
            pass
        torch.testing.assert_close(backbone.hidden_at(PACKED, (PACKED.length_N - 1)[:, None]), alone)
    assert backbone._active_role == "base"


def test_a_role_that_fails_is_switched_off_again(tiny) -> None:
    backbone = tiny("policy")
    with pytest.raises(KeyError), backbone.active_adapter("policy", training=True):
        raise KeyError
    assert backbone._active_role == "base" and not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize(("prompts", "merges"), [(WORTH_MERGING // 4, True), (WORTH_MERGING // 4 - 1, False)])
def test_an_adapter_is_merged_where_enough_is_sampled(tiny, prompts, merges) -> None:
    backbone = tiny("policy")
    if not backbone.path.decoder.can_merge:
        pytest.skip("oneDNN packs no weights on this processor")
    with torch.no_grad(), backbone.active_adapter("policy"):
        backbone.session([[5, 6]] * prompts, room=4)
        assert (backbone.path.merged is not None) == merges
    assert backbone.path.merged is None


def test_a_merged_copy_is_not_used_for_another_role(tiny) -> None:
    backbone = tiny("policy", "judge")
    many = [[5, 6]] * WORTH_MERGING
    with torch.no_grad(), backbone.active_adapter("judge"):
        judge = backbone.session([[5, 6]], room=1).last_BH
    with torch.no_grad(), backbone.active_adapter("policy"):
        policy = backbone.session(many, room=1).last_BH[:1]
        with backbone.active_adapter("judge"):
            torch.testing.assert_close(backbone.session([[5, 6]], room=1).last_BH, judge)
        torch.testing.assert_close(backbone.session(many, room=1).last_BH[:1], policy)
    assert not torch.allclose(policy, judge)


def test_without_an_adapter_nothing_is_merged(tiny) -> None:
    backbone = tiny("policy")
    with torch.no_grad(), backbone.active_adapter("base"):
        backbone.session([[5, 6]] * WORTH_MERGING, room=1)
        assert backbone.path.merged is None
