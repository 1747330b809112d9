"""What `auto` picks, and that it is picked once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.encoders import official_files as official  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.runtimes import auto as runtime_choice  # noqa: E402
from firstshot.encoders.runtimes.auto import (  # noqa: E402
    CHOICES,
    choose,
    list_candidates,
    pick,
)
from firstshot.encoders.runtimes.measured import measured_file, read_measured  # noqa: E402
from firstshot.encoders.runtimes.processor import flags_of_cpuinfo, native_precisions  # noqa: E402
from firstshot.encoders.runtimes.with_runtime import RUNTIMES, with_runtime  # noqa: E402
from firstshot.errors import FirstshotWarning, ParameterError  # noqa: E402

LIBRARIES = ("openvino", "onnxruntime", "onnx")


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    official.use_mini(monkeypatch, tmp_path / "cache")
    yield load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path))


def test_the_fastest_is_picked() -> None:
    taken = {("torch", "fp32"): 3.0, ("openvino", "fp32"): 2.0, ("openvino", "bf16"): 1.0}
    choice = pick(taken)
    assert (choice.runtime, choice.precision) == ("openvino", "bf16")
    assert choice.reason == "openvino bf16: 3.0 times as fast as torch fp32"


def test_a_reduced_precision_must_be_worth_its_error() -> None:
    taken = {("torch", "fp32"): 3.0, ("openvino", "fp32"): 2.0, ("openvino", "bf16"): 1.8}
    assert pick(taken).precision == "fp32"
    assert "bf16 by openvino is 1.1 times as fast" in pick(taken).reason


def test_no_precision_is_picked_that_the_processor_emulates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
    monkeypatch.setattr(runtime_choice, "native_precisions", lambda: ("fp32",))
    assert {precision for _, precision in list_candidates("auto", "auto")} == {"fp32"}
    assert list_candidates("torch", "auto") == [("torch", "fp32")]


@pytest.mark.parametrize(
    ("flags", "precisions"),
    [
        ("fpu sse2 avx2", ("fp32",)),
        ("avx2 avx512f avx512_bf16", ("fp32", "bf16")),
        ("avx512f avx512_fp16 amx_tile amx_bf16 amx_int8", ("fp32", "fp16", "bf16")),
        ("fp asimd asimdhp", ("fp32", "fp16")),
    ],
)
def test_instruction_sets_decide_what_is_native(flags: str, precisions: tuple[str, ...]) -> None:
    heading = "Features" if "asimd" in flags else "flags"
    text = f"processor\t: 0\nmodel name\t: A\n{heading}\t\t: {flags}\n\nprocessor\t: 1\n"
    assert native_precisions(flags_of_cpuinfo(text)) == precisions


def test_the_probe_is_made_once(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
    monkeypatch.setattr(runtime_choice, "PROBE_SECONDS", 0.01)
    probes = []
    probe = runtime_choice.probe

    def counted(*given: Any) -> Any:
        probes.append(given)
        return probe(*given)

    monkeypatch.setattr(runtime_choice, "probe", counted)
    first = choose(encoder, threads=1)
    assert set(probes[0][1]) == set(list_candidates("auto", "auto"))
    assert choose(encoder, threads=1) == first
    assert len(probes) == 1
    choose(encoder, threads=2)
    assert len(probes) == 2
    unknown = {"runtime": "elsewhere", "precision": "fp32", "reason": ""}
    values = [json.dumps(dict.fromkeys(read_measured(CHOICES), x)) for x in (3, unknown, {})]
    for damaged in ('{"a": 3}', "[]", "{", "[" * 100_000, *values):
        before = len(probes)
        measured_file(CHOICES).write_text(damaged)
        assert choose(encoder, threads=1).runtime in RUNTIMES
        assert len(probes) == before + 1
    picked = with_runtime(encoder, threads=1)
    assert getattr(picked, "runtime", "torch") in first.reason


def test_a_convolutional_network_is_probed_by_all_that_a_detector_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(runtime_choice, "PROBE_SECONDS", 0.01)
    for name, layers in (("ced_tiny", (1,)), ("efficientat_mn04", (9,))):
        encoder: Any = load_encoder(name, weights=official.write(name, tmp_path))
        run = []
        tokens = encoder.network.tokens
        encoder.network.tokens = lambda x, layers, tokens=tokens, run=run: (
            run.append(layers) or (tokens(x, layers))
        )
        assert set(runtime_choice.probe(encoder, [("torch", "fp32")], 1)) == {("torch", "fp32")}
        assert set(run) == {layers}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {("torch", "fp32"): 1.0, ("onnx", "fp32"): 2.0}
    monkeypatch.setattr(runtime_choice, "list_candidates", lambda *_: list(taken))
    monkeypatch.setattr(runtime_choice, "probe", lambda *_: taken)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "content", ["{", "[1]", "3", {"runtime": "abacus", "precision": "fp32", "reason": "fast"}]
)
def test_choices_that_are_damaged_are_set_aside_and_the_probe_is_made_again(
    encoder: Any, content: Any
) -> None:
    choice = runtime_choice.choose(encoder)
    path = measured_file(CHOICES)
    whole = path.read_text()
    path.write_text(
        content
        if isinstance(content, str)
        else json.dumps(dict.fromkeys(json.loads(whole), content))
    )
    with pytest.warns(FirstshotWarning, match=r"set aside .* measured again"):
        assert runtime_choice.choose(encoder) == choice
    assert path.read_text() == whole


@pytest.mark.usefixtures("two")
def test_a_choice_that_is_no_candidate_is_not_taken(encoder: Any) -> None:
    choice = runtime_choice.choose(encoder)
    path = measured_file(CHOICES)
    path.write_text(path.read_text().replace('"torch"', '"openvino"'))
    assert runtime_choice.choose(encoder) == choice


def test_one_candidate_needs_no_probe(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_choice, "probe", None)
    choice = choose(encoder, "torch", "auto")
    assert (choice.runtime, choice.precision) == ("torch", "fp32")
    assert "the only one" in choice.reason


def test_a_precision_that_no_runtime_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ParameterError, match="no runtime here computes in it"):
        list_candidates("onnx", "bf16")
