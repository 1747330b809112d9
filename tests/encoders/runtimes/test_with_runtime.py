"""Every encoder, at its mini size, gives the same numbers whatever runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.encoders import official_files as official  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.pretrained_encoder import PretrainedEncoder  # noqa: E402
from firstshot.encoders.protocol import Encoder  # noqa: E402
from firstshot.encoders.runtimes.compile import WORTH_COMPILING, encoder_graph  # noqa: E402
from firstshot.encoders.runtimes.torch import torch_encoder, torch_network  # noqa: E402
from firstshot.encoders.runtimes.with_runtime import with_runtime  # noqa: E402
from firstshot.errors import MissingLibraryError, ParameterError, SoundError  # noqa: E402
from firstshot.ordered_threads import in_order  # noqa: E402

FAMILIES = ("ced_tiny", "eat", "beats_ft1", "m2d_clap", "efficientat_mn04")
TOLERANCE = {"fp32": 1e-6, "fp16": 1e-3, "bf16": 1e-2}
LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino"}
pytestmark = pytest.mark.filterwarnings("ignore:m2d_clap:firstshot.errors.FirstshotWarning")


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as monkeypatch:
        official.use_mini(monkeypatch, folder / "cache")
        yield {name: official.write(name, folder) for name in official.MINI}


@pytest.fixture(params=sorted(LIBRARIES))
def runtime(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(LIBRARIES[request.param])
    return str(request.param)


def load(files: dict[str, Path], name: str, **settings: Any) -> PretrainedEncoder:
    encoder = load_encoder(name, weights=files[name], **settings)
    assert isinstance(encoder, PretrainedEncoder)
    return encoder


def noise(*seconds: float) -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [0.1 * draws.standard_normal(round(16000 * s)).astype(np.float32) for s in seconds]


def errors(found: list[np.ndarray], expected: list[np.ndarray]) -> list[float]:
    """The relative L2 of every clip's embedding, of all layers."""
    return [
        float(np.linalg.norm(row - right) / np.linalg.norm(right))
        for layer, wanted in zip(found, expected, strict=True)
        for row, right in zip(layer, wanted, strict=True)
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_torchs_at_any_batch_size_and_length(
    files: dict[str, Path], runtime: str, name: str
) -> None:
    encoder = load(files, name)
    for batch in range(1, 10):
        # Clips of 3 to 15 s, so that those cut into pieces are among them, of every remainder.
        clips = noise(*[3.0 + 1.5 * (batch - 1) + 0.013 * batch] * batch)
        other = with_runtime(encoder, runtime, "fp32", micro_batch=batch)
        assert isinstance(other, Encoder)
        assert max(errors(other.embed(clips), encoder.embed(clips))) < TOLERANCE["fp32"]


@pytest.mark.parametrize("name", official.STORED)
def test_embeddings_are_the_originals(files: dict[str, Path], runtime: str, name: str) -> None:
    clip, stored = official.golden_pooled(name)
    found = with_runtime(load(files, name), runtime, "fp32", layers=(1, 2)).embed([clip])
    for layer, expected in zip(found, stored, strict=True):
        np.testing.assert_allclose(layer[0], expected.reshape(-1), atol=1e-4, rtol=0)


MACHINE = Path(__file__).resolve().parents[3] / ".." / "shared" / "data/real_machines/BldcMotorA"


def test_real_machines_are_ranked_alike_in_every_precision(tmp_path: Path) -> None:
    if not MACHINE.is_dir():
        pytest.skip("the recordings of real machines are not beside this checkout")
    for library in LIBRARIES.values():
        pytest.importorskip(library)
    from sklearn.metrics import roc_auc_score
    from tests.encoders.ced_m2d_recipe import checkpoint

    from firstshot import Detector
    from firstshot.encoders.models import build, expected_shapes
    from firstshot.encoders.runtimes.openvino import openvino_precisions
    from firstshot.encoders.specs.ced import CED_TINY

    module = build(CED_TINY)
    module.load_state_dict(checkpoint(expected_shapes(CED_TINY)))
    encoder = torch_encoder(CED_TINY, module, weights_hash="made up")
    train, test = (sorted((MACHINE / part).iterdir()) for part in ("train", "test"))
    source, target = ([p for p in train if f"_{d}_" in p.name] for d in ("source", "target"))
    labels = ["anomaly" in path.name for path in test]
    areas = {}
    ways = [("torch", "fp32"), ("onnx", "fp32"), *(("openvino", p) for p in openvino_precisions())]
    for way in ways:
        heard = with_runtime(encoder, *way, layers=(7, 10))
        detector = Detector(heard, normalizer_settings={"k_source": 4, "k_target": 2})
        areas[way] = roc_auc_score(labels, detector.fit(source, target).score(test))
    allowed = {"fp32": 0.0, "fp16": 0.002, "bf16": 0.005}
    for way, area in areas.items():
        assert abs(area - areas["torch", "fp32"]) <= allowed[way[1]], areas


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_have_torchs_grid_and_order(files: dict[str, Path], runtime: str, name: str) -> None:
    encoder = load(files, name)
    other = with_runtime(encoder, runtime, "fp32")
    clips = noise(4.0, 4.0)
    for asked in (None, (2, 1), (-1,)):
        found, expected = other.layers(clips, layers=asked), encoder.layers(clips, layers=asked)
        assert [x.shape for x in found] == [x.shape for x in expected]
        assert max(errors(found, expected)) < TOLERANCE["fp32"]
        assert all(x.dtype == np.float32 for x in found)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ced_tiny", {"last_layer": "normed"}),
        ("m2d_clap", {"last_layer": "normed"}),
        ("eat", {"output": "ffn"}),
        ("eat", {"least_frames": 16}),
        ("eat", {"pooled": "real"}),
        ("ced_tiny", {"pooled": "real"}),
        ("beats_ft1", {"fixed_samples": 160000}),
    ],
)
def test_settings_reach_every_runtime(
    files: dict[str, Path], runtime: str, name: str, settings: dict[str, Any]
) -> None:
    encoder, plain = load(files, name, **settings), load(files, name)
    clips = noise(3.3, 12.3)
    found = with_runtime(encoder, runtime, "fp32").embed(clips)
    assert max(errors(found, encoder.embed(clips))) < TOLERANCE["fp32"]
    assert max(errors(found, plain.embed(clips))) > 1e-3


def test_a_clip_has_the_same_bits_whatever_is_beside_it(
    files: dict[str, Path], runtime: str
) -> None:
    other = with_runtime(load(files, "ced_tiny"), runtime, "fp32")
    clips = noise(2.0, 5.0, 2.0, 12.3)
    together = other.embed(clips)
    for index, clip in enumerate(clips):
        for row, alone in zip(together, other.embed([clip]), strict=True):
            np.testing.assert_array_equal(row[index], alone[0])


def test_workers_change_the_pace_and_not_the_numbers(files: dict[str, Path], runtime: str) -> None:
    encoder, clips = load(files, "beats_ft1"), noise(*[2.0, 3.0, 4.0] * 4)
    one = with_runtime(encoder, runtime, "fp32", threads=2).embed(clips)
    three = with_runtime(encoder, runtime, "fp32", threads=3, workers=3).embed(clips)
    assert max(errors(three, one)) < TOLERANCE["fp32"]


@pytest.mark.parametrize("name", FAMILIES)
def test_reduced_precisions_stay_within_their_error(files: dict[str, Path], name: str) -> None:
    pytest.importorskip("openvino")
    from firstshot.encoders.runtimes.openvino import openvino_precisions

    wide = {"eat": official.sixteen_wide_eat, "beats_ft1": official.sixteen_wide_beats}
    encoder = wide[name]() if name in wide else load(files, name)
    clips, fingerprint = noise(3.0, 10.0), encoder.fingerprint
    expected = encoder.embed(clips)
    able = [("openvino", p) for p in openvino_precisions()]
    for runtime, precision in [*able, ("torch", "fp16"), ("torch", "bf16")]:
        found = with_runtime(encoder, runtime, precision).embed(clips)
        assert max(errors(found, expected)) < TOLERANCE[precision], (runtime, precision)
        if precision != "fp32":
            assert max(errors(found, expected)) > 1e-6, "it computed in fp32 instead"
    assert encoder.fingerprint == fingerprint


def test_a_precision_that_the_processor_lacks_is_refused(files: dict[str, Path]) -> None:
    pytest.importorskip("openvino")
    from firstshot.encoders.runtimes.openvino import openvino_precisions

    encoder = load(files, "ced_tiny")
    for precision in {"fp16", "bf16"} - set(openvino_precisions()):
        with pytest.raises(ParameterError, match="this processor lacks it"):
            with_runtime(encoder, "openvino", precision, layers=(1,))
    pytest.importorskip("onnxruntime")
    with pytest.raises(ParameterError, match="fp32"):
        with_runtime(encoder, "onnx", "fp16", layers=(1,))


def test_the_fingerprint_names_runtime_and_precision(files: dict[str, Path]) -> None:
    for library in LIBRARIES.values():
        pytest.importorskip(library)
    encoder = load(files, "ced_tiny")
    ways = [("openvino", "fp32"), ("openvino", "bf16"), ("onnx", "fp32"), ("torch", "fp16")]
    prints = {with_runtime(encoder, *way).fingerprint for way in ways} | {encoder.fingerprint}
    assert len(prints) == 5
    other = load(files, "ced_tiny", pooled="real")
    assert with_runtime(other, "onnx", "fp32").fingerprint not in prints


def test_torch_in_its_own_precision_is_the_encoder_itself(files: dict[str, Path]) -> None:
    encoder = load(files, "eat")
    assert with_runtime(encoder, "torch") is encoder
    assert with_runtime(encoder, "torch", "fp32") is encoder


def test_what_cannot_be_is_refused_in_one_line(files: dict[str, Path], runtime: str) -> None:
    encoder = load(files, "ced_tiny")
    half = load(files, "ced_tiny", dtype="float16")
    for given, message in (
        ((encoder, "tensorrt"), "runtime 'tensorrt' is not known"),
        ((encoder, "auto", "int8"), "precision 'int8' is not known"),
        ((half, runtime), "needs the weights as they were published"),
    ):
        with pytest.raises(ParameterError, match=message):
            with_runtime(*given)
    with pytest.raises(ParameterError, match="threads 0"):
        with_runtime(encoder, runtime, "fp32", threads=0)
    other = with_runtime(encoder, runtime, "fp32")
    with pytest.raises(SoundError, match="call embed"):
        other.layers(noise(1.0, 2.0))
    with pytest.raises(SoundError, match="spectral"):
        other.embed(noise(1.0, 2.0), pooling="spectral")
    with pytest.raises(ParameterError, match="layer 3 does not exist"):
        other.embed(noise(1.0), layers=(3,))
    with pytest.raises(ParameterError, match="pooling"):
        other.embed(noise(1.0), pooling="mean")


def test_a_missing_runtime_says_what_to_install(
    files: dict[str, Path], runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, LIBRARIES[runtime], None)
    with pytest.raises(MissingLibraryError, match=rf"pip install 'firstshot\[{runtime}\]'"):
        with_runtime(load(files, "ced_tiny"), runtime, "fp32", layers=(1,))


def test_the_graph_stops_at_the_deepest_layer(files: dict[str, Path]) -> None:
    import onnx

    encoder = load(files, "ced_tiny")
    one, two = (
        onnx.load_from_string(encoder_graph(torch_network(encoder), layers))
        for layers in ((1,), (1, 2))
    )
    for model in (one, two):
        onnx.checker.check_model(model)
        (given,) = model.graph.input
        axes = given.type.tensor_type.shape.dim
        assert [axis.dim_param or axis.dim_value for axis in axes] == ["clips", "frames", 64]
    kinds = [sum(node.op_type == "Attention" for node in m.graph.node) for m in (one, two)]
    assert kinds == [1, 2]
    assert [out.name for out in two.graph.output] == ["layer_1", "layer_2"]


def test_another_set_of_layers_makes_another_graph(files: dict[str, Path], runtime: str) -> None:
    encoder = load(files, "eat")
    other = with_runtime(encoder, runtime, "fp32", layers=(2,))
    assert isinstance(other, PretrainedEncoder)
    first = other.network._compiled
    other.embed(noise(1.0), layers=(-1,))
    assert other.network._compiled is first
    for asked in ((1,), (2, 1)):
        expected = encoder.embed(noise(1.0), layers=asked)
        assert max(errors(other.embed(noise(1.0), layers=asked), expected)) < 1e-6
        assert other.network._compiled is not first
    assert other.network._compiled is not None
    assert other.network._compiled[0] == (1, 2)


def test_many_clips_by_many_threads_are_worth_another_graph_with_a_run_for_each(
    files: dict[str, Path], runtime: str
) -> None:
    encoder = load(files, "ced_tiny")
    other = with_runtime(encoder, runtime, "fp32", layers=(1, 2), threads=2)
    assert isinstance(other, PretrainedEncoder)
    clips, first = noise(1.0, 2.0), other.network._compiled
    expected = other.embed(clips, layers=(1, 2))
    with other.share(workers=2, clips=WORTH_COMPILING - 1):
        other.embed(clips)
    assert other.network._compiled is first
    with other.share(workers=2, clips=WORTH_COMPILING):
        found = other.embed(clips, layers=(2,))
    assert other.network._compiled is not first
    np.testing.assert_array_equal(found[0], expected[1])
    second = other.network._compiled
    with other.share(workers=1, clips=WORTH_COMPILING):
        other.embed(clips, layers=(1, 2))
    assert other.network._compiled is second  # its layers were kept, and a run more does no harm


def test_a_graph_is_run_no_more_often_at_once_than_it_was_compiled_for(
    files: dict[str, Path],
) -> None:
    pytest.importorskip("onnxruntime")
    encoder = with_runtime(load(files, "ced_tiny"), "onnx", "fp32", layers=(2,), threads=1)
    assert isinstance(encoder, PretrainedEncoder)
    assert encoder.network._compiled is not None
    network, inside, most = encoder.network._compiled[1], [], []

    class Watched:
        @staticmethod
        def run(spectrograms: np.ndarray) -> list[np.ndarray]:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            found = network.run(spectrograms)
            inside.pop()
            return found

    encoder.network._compiled = (2,), Watched()  # type: ignore[assignment]
    with encoder.share(workers=4, clips=8):
        clips = [x[None] for x in noise(*[1.0] * 8)]
        heard = in_order(lambda clip: encoder.embed(clip, layers=(2,)), clips, workers=4)
        assert all(outcome.get()[0].shape[0] == 1 for outcome in heard)
    assert most == [1] * 8
