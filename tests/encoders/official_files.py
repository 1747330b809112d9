"""Small checkpoints in every published format, with the values of the golden fixtures.

`MINI` holds the records of all pre-trained names at the fixtures' mini geometries.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.encoders import beats_eat_recipe, ced_m2d_recipe

from firstshot.encoders.models import build
from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.beats import spec_from_cfg
from firstshot.encoders.specs.ced import CedGeometry
from firstshot.encoders.specs.eat import EatGeometry
from firstshot.encoders.specs.efficientat import EfficientAtGeometry
from firstshot.encoders.specs.m2d import M2dGeometry
from firstshot.encoders.weights.catalog import (
    ENCODERS,
    EncoderRecord,
    HubFile,
    PublishedFile,
    WebFile,
)
from firstshot.encoders.weights.read import build_spec

_LOCAL = ced_m2d_recipe.LOCAL
_EAT = EatGeometry(dim=48, heads=4, depth=2)
_FINE_TUNED_M2D = "module.ar.runtime.backbone."


@cache
def golden(name: str) -> Any:
    return beats_eat_recipe.Golden(name)


def _mini(spec: Spec) -> Spec:
    geometries = {
        "beats": spec_from_cfg(golden("beats_mini").facts["cfg"]).geometry,
        "ced": CedGeometry(dim=32, heads=2, depth=2, classes=11),
        "eat": _EAT,
        "efficientat": EfficientAtGeometry(0.1),
        "m2d": M2dGeometry(dim=32, heads=2, depth=2),
    }
    layers = (3, 9) if spec.family == "efficientat" else (1, 2)
    return replace(spec, geometry=geometries[spec.family], default_layers=layers)


def _unpinned(file: PublishedFile) -> PublishedFile:
    """The file as a server of a test has it: other bytes under the same name."""
    if isinstance(file, HubFile):
        return replace(file, revision=None, size=None)
    return replace(file, sha256=None, size=None) if isinstance(file, WebFile) else file


MINI: dict[str, EncoderRecord] = {
    name: replace(
        record,
        spec=_mini(record.spec),
        files={variant: _unpinned(file) for variant, file in record.files.items()},
    )
    for name, record in ENCODERS.items()
}
STORED = tuple(name for name in MINI if MINI[name].spec.family != "efficientat")
"""Those whose originals' numbers are stored at mini size; EfficientAT's are on its real weights."""


def use_mini(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    """Let the pre-trained names be the mini encoders, with an empty cache of their own."""
    for name, record in MINI.items():
        monkeypatch.setitem(ENCODERS, name, record)
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(cache_folder))
    monkeypatch.setenv("HF_HOME", str(cache_folder / "no-hub-cache"))
    for variable in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


def _manifest(file: str, key: str) -> dict[str, list[int]]:
    return json.loads((_LOCAL / f"{file}.json").read_text())[key]


@cache
def ced_zenodo(model: str = "ced_ci_d2") -> dict[str, torch.Tensor]:
    return ced_m2d_recipe.checkpoint(_manifest("ced_manifest_zenodo", model))


def ced_hub(model: str = "ced_ci_d2") -> dict[str, torch.Tensor]:
    """The hub's names: all but the head under `encoder.`, no front-end tables."""
    renamed = {}
    for name, tensor in ced_zenodo(model).items():
        if not name.startswith("front_end."):
            plain = name.replace("init_bn.1.", "init_bn.")
            renamed[plain if name.startswith("outputlayer.") else f"encoder.{plain}"] = tensor
    return renamed


@cache
def m2d() -> dict[str, torch.Tensor]:
    return ced_m2d_recipe.checkpoint(_manifest("m2d_manifest_backbone", "ci_d2"))


def _m2d_fine_tuned() -> dict[str, torch.Tensor]:
    around = {
        "module.ar.runtime.to_spec.mel_scale.mel_basis": torch.zeros(80, 201),
        "module.head.mlp.mlp.0.weight": torch.zeros(11, 32),
    }
    return {f"{_FINE_TUNED_M2D}{name}": tensor for name, tensor in m2d().items()} | around


def _m2d_plain() -> dict[str, Any]:
    without = {name: tensor for name, tensor in m2d().items() if name != "norm_stats"}
    return {
        "model": without | {"decoder_embed.weight": torch.zeros(3), "logit_scale": torch.ones(())}
    }


def _m2d_2025() -> dict[str, Any]:
    inner = {f"backbone.{name}": tensor for name, tensor in m2d().items()}
    return {
        "model": inner | {"text_encoder.x": torch.zeros(2), "audio_proj.0.weight": torch.ones(2)}
    }


def _beats() -> dict[str, Any]:
    mini = golden("beats_mini")
    return {"cfg": mini.facts["cfg"], "model": mini.state(), "label_dict": {0: "/m/09x0r"}}


def _fairseq(naming: str) -> dict[str, Any]:
    model = golden("eat_mini").state(naming, heads=naming != "fairseq_pretrained_name")
    if naming == "fairseq_pretrained_name":
        model["_ema"] = {"blocks.0.norm1.weight": torch.zeros(48)}
        model["modality_encoders.IMAGE.decoder.proj.bias"] = torch.zeros(3)
    return {
        "args": None,
        "cfg": {"task": {"data": "x"}},
        "model": model,
        "extra_state": {"epoch": 9},
    }


@cache
def _efficientat() -> dict[str, torch.Tensor]:
    """Seeded values under the published names, tagging head and counters of training included."""
    torch.manual_seed(0)
    state = {}
    for name, values in build(MINI["efficientat_mn04"].spec).state_dict().items():
        state[name] = values
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(9)
            state[name] = 0.5 + torch.rand(values.shape)
        elif name.endswith(("running_mean", ".1.bias")):
            state[name] = 0.1 * torch.randn(values.shape)
    return state | {"classifier.2.weight": torch.zeros(3, 2), "classifier.5.bias": torch.zeros(2)}


_EAT_FORMATS: dict[str, Callable[[], Any]] = {
    "finetuned.safetensors": lambda: golden("eat_mini").state(),
    "pretrained.safetensors": lambda: golden("eat_mini").state(heads=False),
    "finetuned.pt": lambda: _fairseq("fairseq_finetuned_name"),
    "pretrained.pt": lambda: _fairseq("fairseq_pretrained_name"),
}
FORMATS: dict[str, dict[str, Callable[[], Any]]] = {
    "beats": {"cpt1.pt": _beats},
    "eat": _EAT_FORMATS,
    "ced": {
        "hub.safetensors": ced_hub,
        "zenodo.pt": ced_zenodo,
        "wrapped.pt": lambda: {"model": ced_zenodo()},
    },
    "efficientat": {"release.pt": _efficientat},
    "m2d": {"2024.pth": _m2d_fine_tuned, "plain.pth": _m2d_plain, "2025.pth": _m2d_2025},
}
"""By module, what each published file holds."""


def write(name: str, folder: Path, form: str | None = None) -> Path:
    """Write the file of an encoder in one of its formats, by default the first."""
    forms = FORMATS[MINI[name].spec.family]
    form = form or next(iter(forms))
    return write_content(forms[form](), folder / f"{name}-{form}")


def write_content(content: Any, path: Path) -> Path:
    """Write tensors by name as safetensors, or anything as a pickle, as the suffix says."""
    if path.suffix == ".safetensors":
        copies = {name: tensor.clone().contiguous() for name, tensor in content.items()}
        save_file(copies, path, metadata={"format": "pt"})
    else:
        torch.save(content, path)
    return path


def golden_pooled(name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """A clip of 10 s, and what the original's layers 1 and 2 give for it, pooled over time."""
    module = MINI[name].spec.family
    if module in ("ced", "m2d"):
        stored = ced_m2d_recipe.golden(f"{module}_ci_d2")
        return ced_m2d_recipe.clip("A10"), [layer[0] for layer in stored["A10/pooled"]]
    arrays = golden(f"{module}_mini").arrays
    return beats_eat_recipe.clip(0), list(arrays["c0_pooled"])


def sixteen_wide_eat() -> PretrainedEncoder:
    """The mini EAT with three heads of 16 values, not four of 12."""
    spec = replace(build_spec(MINI["eat"], {}), geometry=replace(_EAT, heads=3))
    return beats_eat_recipe.encoder(spec, golden("eat_mini").state())


def sixteen_wide_beats(groups: int = 3) -> PretrainedEncoder:
    """The mini BEATs with heads of 16 values, and groups of its position convolution of 48/groups.

    The golden one has 12 of both. All published encoders have multiples of 16, and OpenVINO
    computes groups of 12 wrongly in bf16 on a processor with AMX.
    """
    mini = golden("beats_mini")
    cfg = mini.facts["cfg"] | {"encoder_attention_heads": 3, "conv_pos_groups": groups}
    shapes = {
        "grep_a": [1, 3, 1, 1],
        "relative_attention_bias.weight": [32, 3],
        "grep_linear.weight": [8, 16],
        "pos_conv.0.weight_v": [48, 48 // groups, 16],
    }
    state = {}
    for entry in mini.tensors:
        ends = (shape for end, shape in shapes.items() if entry["name"].endswith(end))
        values = mini.values(entry | {"shape": next(ends, entry["shape"])})
        state[entry["name"]] = torch.from_numpy(values)
    spec = replace(spec_from_cfg(cfg), default_layers=(1, 2))
    return beats_eat_recipe.encoder(spec, state)


NEEDS_MORE = argparse.Namespace(lr=1e-3)
"""What a training script leaves in a checkpoint and a safe reader does not load."""
