"""`trainer.precision=auto`: half precision where the processor has it, and never where it would be emulated."""

import pytest
import torch
from omegaconf import OmegaConf

from biasmask.pipeline.setup import fast_precision, trainer_factory


@pytest.mark.parametrize(
    ("avx512", "amx", "precision"), [(False, False, "32-true"), (True, False, "bf16-mixed"), (False, True, "bf16-mixed")]
)
def test_a_cpu(avx512: bool, amx: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert fast_precision("cpu") == fast_precision("auto") == precision
    assert fast_precision("mps") == "32-true"
    node = OmegaConf.create({"_target_": "lightning.Trainer", "accelerator": "cpu", "precision": "auto", "logger": False})
    make, key = trainer_factory(node)
    assert key["precision"] == precision, "what was computed in is part of a stage's key"
    assert make(enable_checkpointing=False).precision == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu(native: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    assert fast_precision("gpu") == fast_precision("auto") == precision
