"""Several clips are heard at once: the order, the memory and every number stay what they were."""

from __future__ import annotations

import json
import os
import threading
import warnings
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
import soundfile

from firstshot.detector import Detector, Ensemble
from firstshot.detector.embedding import (
    Clip,
    EmbeddingSettings,
    batch_embedder,
    embed_clips,
    make_embedding_settings,
)
from firstshot.detector.embedding import clips as embedding
from firstshot.detector.sources import list_clips
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.protocol import Encoder, Shareable
from firstshot.errors import FirstshotWarning, ParameterError, SoundError
from firstshot.store import EmbeddingStore

RATE = 16000
PATIENCE = 30
MANY = (1, 2, 3, 7)


def noise(seed=0, samples=3200):
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


def sounds(count, first=0):
    return [(noise(first + i), RATE) for i in range(count)]


def clips_of(count, samples=3200):
    return [Clip(str(i), noise(i, samples)) for i in range(count)]


def helpers():
    return [t for t in threading.enumerate() if t.name.startswith("firstshot")]


class Watched:
    """The embedded encoder under another name, which counts who asks it and may make them wait."""

    def __init__(self, during=lambda waveforms: None):
        self.during = during
        self.inside = self.most = 0
        self.calls: list[int] = []
        self._counting = threading.Lock()
        self._real = LogMel()

    name = "watched"
    sample_rate, depth, parameters, minimum_samples = RATE, 2, 0, 512
    default_layers = (1,)
    fingerprint = "watched"

    def frequency_bands(self, layer):
        return self._real.frequency_bands(layer)

    def dim(self, layer):
        return self._real.dim(layer)

    def grid(self, samples, layer):
        return self._real.grid(samples, layer)

    def macs(self, samples):
        return self._real.macs(samples)

    def layers(self, waveforms, sample_rate=RATE, layers=None):
        return self._real.layers(waveforms, sample_rate, layers)

    def embed(self, waveforms, sample_rate=RATE, layers=None, pooling="temporal"):
        with self._counting:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.calls.append(len(waveforms))
        try:
            self.during(waveforms)
            return self._real.embed(waveforms, sample_rate, layers, pooling)
        finally:
            with self._counting:
                self.inside -= 1


class Shared(Watched):
    micro_batch = 1

    def share(self, workers, clips):
        return nullcontext(lambda: None)


def small_eat():
    torch = pytest.importorskip("torch")
    from firstshot.encoders.models import build
    from firstshot.encoders.runtimes.torch import torch_encoder
    from firstshot.encoders.specs.eat import EatGeometry, EatSpec

    geometry = EatGeometry(dim=48, heads=4, depth=2, least_frames=16)
    spec = EatSpec("eat", geometry, default_layers=(1, 2))
    torch.manual_seed(0)
    return torch_encoder(spec, build(spec), weights_hash="made up")


@pytest.mark.parametrize("make", [LogMel, small_eat, Watched], ids=["logmel", "torch", "plain"])
@pytest.mark.parametrize("length", ["native", "windows:0.5:0.3"])
def test_every_number_of_workers_gives_the_same_bits(make, length):
    settings = make_embedding_settings(make(), length=length)
    clips = [Clip(str(i), noise(i, 16000 + 900 * (i % 5))) for i in range(20)]
    first, *others = (list(embed_clips(clips, settings, workers=workers)) for workers in MANY)
    assert [heard.name for heard in first] == [clip.name for clip in clips]
    for found in others:
        for a, b in zip(first, found, strict=True):
            assert (a.name, a.digest, a.starts) == (b.name, b.digest, b.starts)
            assert np.array_equal(a.spectrum, b.spectrum)
            assert all(np.array_equal(x, y) for x, y in zip(a.layers, b.layers, strict=True))


def test_scores_thresholds_and_explanations_are_the_same_bits_too():
    normal, today = sounds(20), sounds(9, 100)
    alone, many = (Detector().fit(normal, workers=workers) for workers in (1, 4))
    assert alone.threshold_ == many.threshold_
    assert np.array_equal(alone.score(today, workers=1), many.score(today, workers=3))
    assert alone.predict(today, workers=1) == many.predict(today, workers=3)
    assert alone.explain(today[0]) == many.explain(today[0])
    pair = [Ensemble([Detector(layers=[1]), Detector(layers=[2])]) for _ in range(2)]
    for ensemble, workers in zip(pair, (1, 4), strict=True):
        ensemble.fit(normal, workers=workers)
    assert pair[0].predict(today, workers=1) == pair[1].predict(today, workers=4)


def test_how_many_workers_there_were_is_in_no_detector_file(tmp_path):
    files = []
    for workers in (1, 3):
        path = tmp_path / f"{workers}.firstshot"
        Detector().fit(sounds(20), workers=workers).save(path)
        with zipfile.ZipFile(path) as file:
            files.append({name: file.read(name) for name in file.namelist()})
    assert files[0] == files[1]
    assert "workers" not in json.dumps(json.loads(files[0]["manifest.json"]))


def test_a_store_filled_by_many_workers_is_a_store_filled_by_one(tmp_path):
    clips = [*clips_of(6), Clip("copy", noise(0))]
    found = {}
    for workers in (1, 4):
        store = EmbeddingStore(tmp_path / str(workers))
        list(embed_clips(clips, make_embedding_settings("logmel"), store=store, workers=workers))
        files = sorted(p for p in store.folder.rglob("*") if p.is_file())
        found[workers] = {p.relative_to(store.folder): p.read_bytes() for p in files}
    assert found[1] == found[4]
    assert len(found[1]) == 6


def test_what_the_store_holds_is_not_encoded_again_by_any_worker(tmp_path):
    store, encoder = EmbeddingStore(tmp_path), Shared()
    for _ in range(2):
        list(embed_clips(clips_of(5), EmbeddingSettings(encoder, (1,)), store=store, workers=3))
    assert len(encoder.calls) == 5


def test_as_many_clips_are_worked_on_at_once_as_there_are_workers():
    together = threading.Barrier(3, timeout=PATIENCE)
    encoder = Shared(lambda _: together.wait())
    assert isinstance(encoder, Shareable)
    list(embed_clips(clips_of(9), EmbeddingSettings(encoder, (1,)), workers=3))
    assert encoder.most == 3


def test_an_encoder_that_does_not_say_so_is_asked_by_one_thread_at_a_time(monkeypatch):
    monkeypatch.setattr(embedding, "CLIPS_AT_ONCE", 2)
    encoder = Watched(lambda _: threading.Event().wait(0.002))
    assert isinstance(encoder, Encoder)
    assert not isinstance(encoder, Shareable)
    list(embed_clips(clips_of(11), EmbeddingSettings(encoder, (1,)), workers=4))
    assert encoder.most == 1
    assert sorted(encoder.calls) == [1, 2, 2, 2, 2, 2]


def test_clips_of_hours_are_held_one_at_a_time_by_any_number_of_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(batch_embedder, "SECONDS_AT_ONCE", 1.0)
    long = tmp_path / "long.wav"
    soundfile.write(long, noise(0, 2 * RATE), RATE)
    company = []
    encoder = Shared()
    encoder.during = lambda waveforms: company.append((len(waveforms[0]), encoder.inside))
    clips = [*clips_of(4), Clip("file", long), *clips_of(4), Clip("array", noise(0, 2 * RATE))]
    list(embed_clips(clips, EmbeddingSettings(encoder, (1,)), workers=4))
    assert [inside for samples, inside in company if samples == 2 * RATE] == [1, 1]


def test_plain_encoders_are_not_given_hours_in_one_call(monkeypatch):
    monkeypatch.setattr(embedding, "SECONDS_AT_ONCE", 0.5)
    encoder = Watched()
    list(embed_clips(clips_of(6), EmbeddingSettings(encoder, (1,)), workers=1))
    assert encoder.calls == [3, 3]  # 0.2 s each


def test_a_slow_clip_holds_up_no_other():
    others_done = threading.Event()
    left = [30]

    def during(waveforms):
        if len(waveforms[0]) == 4000:
            assert others_done.wait(PATIENCE)
            return
        left[0] -= 1
        if not left[0]:
            others_done.set()

    slow = Clip("slow", noise(0, 4000))
    settings = EmbeddingSettings(Shared(during), (1,))
    found = list(embed_clips([slow, *clips_of(30)], settings, workers=2))
    assert [heard.name for heard in found] == ["slow", *map(str, range(30))]


def test_no_more_clips_are_begun_than_ahead_of_the_one_that_is_due(monkeypatch):
    monkeypatch.setattr(embedding, "AHEAD", 5)
    encoder = Shared()
    found = embed_clips(clips_of(40), EmbeddingSettings(encoder, (1,)), workers=2)
    for taken, _ in enumerate(found, start=1):
        assert len(encoder.calls) <= taken + 5


@pytest.mark.parametrize("workers", MANY)
def test_broken_clips_are_told_of_in_order_in_the_callers_thread(tmp_path, workers):
    for i in range(12):
        path = tmp_path / f"{i:02d}.wav"
        if i % 3:
            soundfile.write(path, noise(i), RATE)
        else:
            path.write_text("no sound")
    told, seen, threads = [], [], set()

    def on_error(clip, error):
        threads.add(threading.current_thread())
        told.append(clip.name)
        assert clip.name in str(error)

    def progress(done, total):
        threads.add(threading.current_thread())
        seen.append((done, total))

    found = embed_clips(
        list_clips(tmp_path),
        make_embedding_settings("logmel"),
        on_error=on_error,
        progress=progress,
        workers=workers,
    )
    assert [heard.name for heard in found] == [f"{i:02d}.wav" for i in range(12) if i % 3]
    assert told == [f"{i:02d}.wav" for i in range(0, 12, 3)]
    assert seen == [(done, 12) for done in range(1, 13)]
    assert threads == {threading.current_thread()}


def test_the_first_broken_clip_stops_the_others_and_leaves_no_threads(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    encoder = Shared()
    clips = [*clips_of(3), Clip("bad", bad), *clips_of(500)]
    with pytest.raises(SoundError, match=r"bad\.wav: not readable as audio"):
        list(embed_clips(clips, EmbeddingSettings(encoder, (1,)), workers=2))
    assert len(encoder.calls) < 60
    assert not helpers()


@pytest.mark.parametrize("workers", [1, 3])
def test_what_has_no_length_is_told_of_and_stalls_nothing(tmp_path, workers):
    os.mkfifo(tmp_path / "pipe.wav")
    odd = tmp_path / os.fsdecode(b"caf\xe9.wav")
    soundfile.write(os.fsencode(odd), noise(0), RATE, format="WAV")
    clips = [
        Clip("number", np.array(0.5)),
        Clip("negative", noise(), -1),
        Clip("pipe", tmp_path / "pipe.wav"),
        Clip("odd name", odd),
        *clips_of(3),
    ]
    told = []
    found = embed_clips(
        clips,
        make_embedding_settings("logmel"),
        on_error=lambda clip, _: told.append(clip.name),
        workers=workers,
    )
    assert [heard.name for heard in found] == ["odd name", "0", "1", "2"]
    assert told == ["number", "negative", "pipe"]


def test_a_fault_of_the_encoder_itself_reaches_the_caller():
    def during(_):
        raise RuntimeError("out of registers")

    with pytest.raises(RuntimeError, match="out of registers"):
        list(embed_clips(clips_of(5), EmbeddingSettings(Shared(during), (1,)), workers=2))
    assert not helpers()


def test_an_interrupt_ends_long_recordings_early_and_leaves_no_threads():
    begun, told = threading.Event(), threading.Event()

    def during(windows):
        if len(windows) > 2:
            begun.set()
            told.wait(PATIENCE)

    def progress(done, total):
        assert begun.wait(PATIENCE)
        told.set()
        raise KeyboardInterrupt

    encoder = Shared(during)
    long = [Clip(str(i), noise(i, 200 * RATE)) for i in range(1, 4)]
    settings = make_embedding_settings(
        encoder, length="windows:0.1:0.1"
    )  # 2000 windows, 32 calls each
    with pytest.raises(KeyboardInterrupt):
        list(embed_clips([*clips_of(1), *long], settings, progress=progress, workers=2))
    assert not helpers()
    assert len(encoder.calls) < 20


def test_a_caller_who_takes_no_more_leaves_no_threads():
    found = embed_clips(clips_of(50), make_embedding_settings("logmel"), workers=2)
    next(found)
    found.close()
    assert not helpers()


def test_warnings_are_told_in_the_callers_thread_in_the_order_of_the_clips():
    clips = [Clip(f"silent {i}", np.zeros(3200)) for i in range(12)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(embed_clips(clips, make_embedding_settings("logmel"), workers=4))
    assert [w.category for w in caught] == [FirstshotWarning] * 12
    assert [str(w.message).split(":")[0] for w in caught] == [clip.name for clip in clips]


def test_torch_computes_with_its_share_of_threads_and_has_them_back():
    torch = pytest.importorskip("torch")
    encoder, shares, before = small_eat(), set(), torch.get_num_threads()
    real = encoder.network.module.tokens_by_layer

    def watched(*arguments):
        shares.add(
            (threading.current_thread().name.startswith("firstshot"), torch.get_num_threads())
        )
        return real(*arguments)

    encoder.network.module.tokens_by_layer = watched
    try:
        torch.set_num_threads(4)
        for workers in (2, 3, 8, 1):
            shares.clear()
            list(embed_clips(clips_of(16), EmbeddingSettings(encoder, (1,)), workers=workers))
            assert shares == {(workers > 1, max(1, 4 // workers))}
            assert torch.get_num_threads() == 4
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [4]
    finally:
        torch.set_num_threads(before)


def test_scores_make_no_spectra_that_nobody_looks_at(monkeypatch):
    detector = Detector(Shared()).fit(sounds(20))
    made = []
    monkeypatch.setattr(batch_embedder, "LOGMEL", type("Deaf", (), {"embed": made.append}))
    monkeypatch.setattr(batch_embedder.LOGMEL, "fingerprint", "", raising=False)
    detector.score(sounds(1, 100))
    detector.predict(sounds(1, 100))
    assert not made


def test_a_number_of_workers_that_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="workers 0: expected at least one"):
        Detector().fit(sounds(12), workers=0)
