"""auto is bfloat16 where the device has units for it, and float32 elsewhere."""

import pytest
import torch

from repo_exp.models import precision
from repo_exp.models.precision import has_bfloat16_units, matmul_rate, processor_units, resolve_precision, slowdown

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("machine", "capabilities", "wanted"),
    [
        ("x86_64", {"avx2": True}, "float32"),
        ("x86_64", {"avx2": True, "avx512_f": True, "avx512_bf16": False}, "float32"),
        ("x86_64", {"avx512_bf16": True}, "bfloat16"),
        ("AMD64", {"amx_bf16": True, "amx_tile": True}, "bfloat16"),
        ("aarch64", {"neon": True}, "float32"),
        ("aarch64", {"neon": True, "bf16": True}, "bfloat16"),
    ],
)
def test_auto_follows_the_units_of_the_processor(monkeypatch, machine, capabilities, wanted) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) == wanted
    assert has_bfloat16_units(CPU) == (wanted == "bfloat16")
    assert ("no bfloat16 units" in processor_units(CPU)) == (wanted == "float32")
    assert resolve_precision("bfloat16", CPU) == "bfloat16", "what is asked for by hand is taken"
    assert resolve_precision("float32", CPU) == "float32"


def test_auto_follows_the_units_of_the_accelerator(monkeypatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        assert (resolve_precision("auto", torch.device("cuda")) == "bfloat16") == there
    assert resolve_precision("auto", torch.device("mps")) == "float32"


def test_the_rate_is_operations_over_the_least_seconds(monkeypatch) -> None:
    """2 x 100^3 operations in a millisecond are 2 GFLOP/s."""
    monkeypatch.setattr(precision, "_fastest", lambda action, device, seconds: 1e-3)
    assert matmul_rate(torch.float32, CPU, size=100) == pytest.approx(2.0)


def test_the_slowdown_is_the_ratio_of_the_rates(monkeypatch) -> None:
    monkeypatch.setattr(precision, "matmul_rate", lambda dtype, *_, **__: 150.0 if dtype == torch.float32 else 1.5)
    assert slowdown(CPU) == pytest.approx(100.0)
