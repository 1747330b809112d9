"""What every encoder promises: embedded, pre-trained (at mini sizes) and plug-in alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.encoders import official_files as official  # noqa: E402

import firstshot  # noqa: E402
from firstshot.encoders import list_encoders, load_encoder, registered  # noqa: E402
from firstshot.encoders.protocol import Encoder  # noqa: E402
from firstshot.errors import (  # noqa: E402
    DetectorFileError,
    FirstshotWarning,
    ParameterError,
    SoundError,
    WeightsError,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "plugin_example"
NAMES = ("logmel", "spectra", "octave_bands", *official.MINI)
SETTINGS: dict[str, dict[str, Any]] = {
    "logmel": {"keep_level": True},
    "octave_bands": {"floor_db": -80.0},
    **{name: {"dtype": "float64"} for name in official.MINI},
}
"""For every encoder that has settings, one that changes its numbers."""
pytestmark = [
    pytest.mark.filterwarnings("ignore:m2d_clap:firstshot.errors.FirstshotWarning"),
    pytest.mark.filterwarnings("ignore:.*different clips:firstshot.errors.FirstshotWarning"),
]


def install(folder: Path, name: str, points: dict[str, str]) -> None:
    """Lay out what installing a package leaves behind: its metadata with entry points."""
    metadata = folder / f"{name}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{point} = {value}" for point, value in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[firstshot.encoders]", *lines, ""]))


@pytest.fixture(autouse=True)
def _plugin_and_mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tomllib

    official.use_mini(monkeypatch, tmp_path / "cache")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(tmp_path / "site", "octave_bands", project["entry-points"]["firstshot.encoders"])
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: official.write(name, folder) for name in official.MINI}


@pytest.fixture
def settings(name: str, files: dict[str, Path]) -> dict[str, Any]:
    return {"weights": str(files[name])} if name in files else {}


@pytest.fixture
def load(name: str, settings: dict[str, Any]) -> Callable[..., Encoder]:
    return lambda **more: load_encoder(name, **settings, **more)


@pytest.fixture
def encoder(load: Callable[..., Encoder]) -> Iterator[Encoder]:
    yield load()


def clips(number: int, samples: int = 24000, seed: int = 0) -> list[np.ndarray]:
    """Hums of different pitch with noise, float32."""
    draws = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    return [
        (
            0.2 * np.sin(2 * np.pi * (110 + 17 * i) * time) + 0.05 * draws.standard_normal(samples)
        ).astype(np.float32)
        for i in range(number)
    ]


every_encoder = pytest.mark.parametrize("name", NAMES)


@every_encoder
def test_it_has_the_members_of_an_encoder(name: str, encoder: Encoder) -> None:
    assert name in list_encoders()
    assert isinstance(encoder, Encoder)
    assert encoder.name == name
    assert encoder.depth >= 1
    assert encoder.parameters >= 0
    assert encoder.minimum_samples > 0
    assert encoder.macs(480000) > encoder.macs(160000)
    assert all(1 <= layer <= encoder.depth for layer in encoder.default_layers)
    for layer in range(1, encoder.depth + 1):
        bands = encoder.frequency_bands(layer)
        assert len(bands) == encoder.grid(encoder.sample_rate, layer)[1]
        assert all(0 <= low < high <= encoder.sample_rate / 2 + 0.001 for low, high in bands)
        assert list(bands) == sorted(bands)


@every_encoder
def test_layers_have_the_shape_of_the_grid(name: str, encoder: Encoder) -> None:
    every = encoder.layers(clips(3))
    assert len(every) == encoder.depth
    samples = round(1.5 * encoder.sample_rate)
    for layer, tokens in enumerate(every, start=1):
        assert tokens.dtype == np.float32
        assert tokens.shape == (3, *encoder.grid(samples, layer), encoder.dim(layer))


@every_encoder
@pytest.mark.parametrize("pooling", ["temporal", "spectral", "all"])
def test_embeddings_are_the_pooled_layers(name: str, pooling: str, encoder: Encoder) -> None:
    batch = clips(2)
    every = encoder.layers(batch)
    axes = {"temporal": 1, "spectral": 2, "all": (1, 2)}[pooling]
    wanted = [-1, 1]
    found = encoder.embed(batch, layers=wanted, pooling=pooling)
    for embedding, layer in zip(found, wanted, strict=True):
        tokens = every[layer - (layer > 0)].astype(np.float64)
        np.testing.assert_allclose(embedding, tokens.mean(axis=axes).reshape(2, -1), atol=1e-4)
        assert embedding.dtype == np.float32


@every_encoder
def test_each_layer_can_have_a_pooling_of_its_own(name: str, encoder: Encoder) -> None:
    batch = clips(2)
    layers = range(1, encoder.depth + 1)
    poolings = [("all", "rdp:4", "temporal")[layer % 3] for layer in layers]
    found = encoder.embed(batch, layers=layers, pooling=poolings)
    for embedding, layer, pooling in zip(found, layers, poolings, strict=True):
        (alone,) = encoder.embed(batch, layers=[layer], pooling=pooling)
        np.testing.assert_array_equal(embedding, alone)
    with pytest.raises(ParameterError, match="give one for all, or one per layer"):
        encoder.embed(batch, layers=layers, pooling=[*poolings, "temporal"])
    with pytest.raises(ParameterError, match="pooling 'median'"):
        encoder.embed(batch, layers=[1], pooling=["median"])


@every_encoder
def test_the_default_layers_are_used_where_none_are_named(name: str, encoder: Encoder) -> None:
    batch = clips(1)
    named = encoder.embed(batch, layers=encoder.default_layers)
    for usual, same in zip(encoder.embed(batch), named, strict=True):
        np.testing.assert_array_equal(usual, same)


@every_encoder
def test_a_second_encoder_gives_the_same_bits(
    name: str, encoder: Encoder, load: Callable[..., Encoder]
) -> None:
    again = load()
    assert again.fingerprint == encoder.fingerprint
    batch = clips(2)
    for one, two in zip(encoder.layers(batch), again.layers(batch), strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(encoder.layers(batch), encoder.layers(batch), strict=True):
        np.testing.assert_array_equal(one, two)


@every_encoder
def test_a_clip_has_the_embedding_it_has_alone_in_any_order(name: str, encoder: Encoder) -> None:
    batch = clips(3) + clips(2, 40000, seed=1)
    batch[1] *= 100.0
    together = encoder.embed(batch)
    backwards = encoder.embed(batch[::-1])
    for index, clip in enumerate(batch):
        alone = encoder.embed([clip])
        for a, b, c in zip(together, backwards, alone, strict=True):
            np.testing.assert_allclose(a[index], c[0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(b[len(batch) - 1 - index], c[0], rtol=0, atol=1e-6)


@every_encoder
def test_arrays_and_lists_of_clips_are_the_same(name: str, encoder: Encoder) -> None:
    batch = clips(2)
    for one, two in zip(encoder.embed(batch), encoder.embed(np.stack(batch)), strict=True):
        np.testing.assert_array_equal(one, two)


@every_encoder
def test_the_shortest_clip_is_encoded_and_a_shorter_one_refused(
    name: str, encoder: Encoder
) -> None:
    shortest, rate = clips(1, encoder.minimum_samples), encoder.sample_rate
    assert np.isfinite(encoder.embed(shortest, rate)[0]).all()
    assert encoder.layers(shortest, rate)[0].shape[1:3] == encoder.grid(encoder.minimum_samples, 1)
    with pytest.raises(SoundError, match=str(encoder.minimum_samples)):
        encoder.embed([shortest[0][1:]], rate)
    with pytest.raises(SoundError, match=str(encoder.minimum_samples)):
        encoder.grid(encoder.minimum_samples - 1, 1)


@every_encoder
def test_longer_clips_have_embeddings_of_the_same_size(name: str, encoder: Encoder) -> None:
    short, long = encoder.embed(clips(1, 20000)), encoder.embed(clips(1, 196800))
    assert [one.shape for one in short] == [two.shape for two in long]


@every_encoder
def test_another_rate_is_resampled(name: str, encoder: Encoder) -> None:
    import soxr

    clip = clips(1, 48000)[0]
    rate = encoder.sample_rate
    heard = soxr.resample(clip, 48000, rate, quality="HQ")
    for found, expected in zip(
        encoder.embed([clip], sample_rate=48000), encoder.embed([heard], rate), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@every_encoder
def test_silence_and_full_scale_give_finite_numbers(name: str, encoder: Encoder) -> None:
    silence = np.zeros((1, 16000), np.float32)
    square = np.sign(np.sin(np.arange(16000) * 0.1))[None].astype(np.float32)
    for batch in (silence, square):
        assert all(np.isfinite(tokens).all() for tokens in encoder.layers(batch))


@every_encoder
def test_what_cannot_be_heard_is_refused(name: str, encoder: Encoder) -> None:
    with pytest.raises(SoundError):
        encoder.embed([np.full(16000, np.nan, dtype=np.float32)])
    with pytest.raises(SoundError):
        encoder.embed([])


@every_encoder
def test_layers_that_do_not_exist_are_refused(name: str, encoder: Encoder) -> None:
    for layer in (0, encoder.depth + 1, -encoder.depth - 1):
        with pytest.raises(ParameterError, match=f"layer {layer} does not exist"):
            encoder.embed(clips(1), layers=[layer])
    with pytest.raises(ParameterError, match="pooling"):
        encoder.embed(clips(1), pooling="median")


@pytest.mark.parametrize("name", list(official.MINI))
def test_computation_stops_at_the_deepest_layer_asked_for(name: str, encoder: Any) -> None:
    module = encoder.network.module
    stack = getattr(module, "blocks", None) or getattr(module, "features", None)
    stack = stack or module.encoder.layers
    ran: list[int] = []
    for number, block in enumerate(stack, start=1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    every = encoder.layers(clips(1))
    assert ran == list(range(1, encoder.depth + 1))
    ran.clear()
    (first,) = encoder.layers(clips(1), layers=[1])
    assert ran == [1]
    np.testing.assert_array_equal(first, every[0])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_changes_the_numbers_changes_the_fingerprint(
    name: str, encoder: Encoder, load: Callable[..., Encoder]
) -> None:
    other = load(**SETTINGS[name])
    assert other.fingerprint != encoder.fingerprint
    quiet = [1e-5 * clip for clip in clips(1)]
    found, usual = other.layers(quiet), encoder.layers(quiet)
    assert all(tokens.dtype == np.float32 for tokens in found)
    assert any(not np.array_equal(a, b) for a, b in zip(found, usual, strict=True))


@every_encoder
def test_a_setting_it_does_not_have_is_refused(name: str, load: Callable[..., Encoder]) -> None:
    with pytest.raises(ParameterError, match=f"encoder '{name}'.*temperature"):
        load(temperature=2)


@every_encoder
def test_a_detector_made_with_it_comes_back_from_its_file(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    detector = firstshot.Detector(
        name, encoder_settings=settings or None, layers=(1, -1), normalizer="local_density"
    )
    detector.fit(clips(12), clips(3, seed=5), sample_rate=16000)
    new = clips(3, seed=9)
    scores = detector.score(new, sample_rate=16000)
    detector.save(tmp_path / "machine.firstshot")
    back = firstshot.Detector.load(tmp_path / "machine.firstshot")
    np.testing.assert_array_equal(back.score(new, sample_rate=16000), scores)
    given = firstshot.Detector.load(
        tmp_path / "machine.firstshot", encoder=load_encoder(name, **settings)
    )
    np.testing.assert_array_equal(given.score(new, sample_rate=16000), scores)
    # One without settings is another encoder where its constants differ.
    other = load_encoder(name, **settings, **SETTINGS.get(name, {}))
    if name not in SETTINGS:
        other.__dict__["fingerprint"] = "of other constants"
    with pytest.raises(DetectorFileError, match=f"{name} of other weights or settings"):
        firstshot.Detector.load(tmp_path / "machine.firstshot", encoder=other)


def test_a_detector_finds_its_weights_where_another_machine_keeps_them(
    files: dict[str, Path], tmp_path: Path
) -> None:
    here = tmp_path / "here.safetensors"
    here.write_bytes(files["ced_tiny"].read_bytes())
    detector = firstshot.Detector("ced_tiny", encoder_settings={"weights": str(here)})
    detector.fit(clips(12), sample_rate=16000)
    detector.save(tmp_path / "machine.firstshot")
    there = here.rename(tmp_path / "there.safetensors")
    encoder = load_encoder("ced_tiny", weights=there)
    back = firstshot.Detector.load(tmp_path / "machine.firstshot", encoder=encoder)
    new = clips(2, seed=3)
    np.testing.assert_array_equal(
        back.score(new, sample_rate=16000), detector.score(new, sample_rate=16000)
    )


# Plug-ins


_MODULES = (f"plug_in_{number}" for number in count())


def plug(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, **points: str) -> None:
    """Install a package of one module whose objects are registered under those names."""
    module = next(_MODULES)
    install(folder / module, module, {name: f"{module}:{thing}" for name, thing in points.items()})
    (folder / module / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder / module))


def test_a_plug_in_hears_of_weights_device_and_dtype_only_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import json
from octave_bands import OctaveBands

def make(**settings):
    encoder = OctaveBands()
    encoder.given = json.dumps(settings)
    return encoder
"""
    plug(tmp_path, monkeypatch, code, curious="make")
    given: Any = load_encoder("curious")
    assert json.loads(given.given) == {}
    given = load_encoder("curious", weights="a.bin", device="cuda", dtype="float16", k=3)
    assert json.loads(given.given) == {
        "weights": "a.bin",
        "device": "cuda",
        "dtype": "float16",
        "k": 3,
    }


def test_plug_ins_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(tmp_path, monkeypatch, "import a_library_that_is_not_there\n", broken="make")
    with pytest.raises(
        WeightsError, match=r"'broken': its plug-in .* cannot be imported .*install"
    ):
        load_encoder("broken")
    plug(tmp_path, monkeypatch, "def make():\n    return 3\n", three="make")
    with pytest.raises(ParameterError, match="gives a int, which lacks members"):
        load_encoder("three")
    plug(tmp_path, monkeypatch, "", octave_bands="Other")
    with pytest.raises(ParameterError, match=r"claimed by .*octave_bands:OctaveBands.*uninstall"):
        load_encoder("octave_bands")


def test_a_plug_in_with_one_grid_for_all_layers_is_told_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from octave_bands import OctaveBands

class Old(OctaveBands):
    dim = 1
    frequency_bands = ((20.0, 40.0),)
"""
    plug(tmp_path, monkeypatch, code, old="Old")
    with pytest.raises(ParameterError, match=r"'old': .*make both functions of the layer"):
        load_encoder("old")


def test_a_fault_inside_a_plug_in_is_not_called_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(tmp_path, monkeypatch, "def make():\n    return len(3)\n", faulty="make")
    fault = r"^encoder 'faulty': its plug-in \w+:make of the package \S+ failed \(TypeError: .*len"
    with pytest.raises(ParameterError, match=fault):
        load_encoder("faulty")


def test_a_plug_in_cannot_take_a_pretrained_encoder_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]
) -> None:
    plug(tmp_path, monkeypatch, "def make():\n    return 3\n", ced_tiny="make")
    with pytest.warns(FirstshotWarning, match="a plug-in is called ced_tiny"):
        assert load_encoder("ced_tiny", weights=files["ced_tiny"]).depth == 2
    assert list_encoders().count("ced_tiny") == 1


def test_listing_encoders_imports_no_plug_in() -> None:
    sys.modules.pop("octave_bands", None)
    assert "octave_bands" in list_encoders()
    assert [point.value for point in registered()["octave_bands"]] == ["octave_bands:OctaveBands"]
    assert "octave_bands" not in sys.modules


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ParameterError, match=r"'wav2vec' is not known; .*logmel, spectra, beats_ft1"
    ):
        load_encoder("wav2vec")


def test_the_embedded_encoder_takes_no_weights() -> None:
    for given in ({"weights": "x.pt"}, {"device": "cuda"}, {"dtype": "float64"}):
        with pytest.raises(ParameterError, match=f"'logmel' .*{next(iter(given))}"):
            load_encoder("logmel", **given)
