"""What was computed once is kept, found again, and never half there."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from firstshot.detector.embedding import (
    Clip,
    EmbeddingSettings,
    embed_clips,
    make_embedding_settings,
)
from firstshot.disk.caches import pack_arrays, unpack_arrays
from firstshot.encoders.logmel import LogMel
from firstshot.errors import FirstshotWarning, OutputError, ParameterError
from firstshot.store import EmbeddingStore, default_store_folder, entry_key

ARRAYS = {"layer_1": np.arange(6, dtype=np.float32).reshape(2, 3) / 7}
KEY = entry_key("ab" * 32, {"encoder": "logmel"})


class CountingLogMel:
    """The embedded encoder, with a tally of the clips it was given."""

    def __init__(self):
        self._inner = LogMel()
        self.encoded = 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    @property
    def fingerprint(self):
        return "counting"

    def embed(self, waveforms, *rest):
        self.encoded += len(waveforms)
        return self._inner.embed(waveforms, *rest)


def clips(count, seed=0):
    rng = np.random.default_rng(seed)
    return [Clip(f"clip {i}", 0.1 * rng.standard_normal(3200), 16000) for i in range(count)]


def layers_of(embedded):
    return [np.concatenate([*clip.layers, clip.spectrum], axis=1) for clip in embedded]


def entries(store):
    return sorted(store.folder.glob("float*/??/*.safetensors"))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_kept_clip_is_not_encoded_again(tmp_path):
    encoder, store = CountingLogMel(), EmbeddingStore(tmp_path)
    settings = EmbeddingSettings(encoder, (1,))
    first = layers_of(embed_clips(clips(5), settings, store=store))
    assert encoder.encoded == 5
    again = layers_of(embed_clips(clips(7), settings, store=store))
    assert encoder.encoded == 7
    assert same(first, again[:5])
    assert same(again, layers_of(embed_clips(clips(7), settings)))


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path):
    encoder, store = CountingLogMel(), EmbeddingStore(tmp_path)
    run = embed_clips(clips(40), EmbeddingSettings(encoder, (1,)), store=store)
    for _ in range(20):
        next(run)
    run.close()
    kept = encoder.encoded
    assert 20 <= kept < 40
    assert len(list(embed_clips(clips(40), EmbeddingSettings(encoder, (1,)), store=store))) == 40
    assert encoder.encoded == 40


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, "cut", "foreign"])
def test_a_damaged_entry_is_computed_again(tmp_path, damage):
    encoder, store = CountingLogMel(), EmbeddingStore(tmp_path)
    settings = EmbeddingSettings(encoder, (1,))
    expected = layers_of(embed_clips(clips(1), settings, store=store))
    (path,) = entries(store)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-10], "foreign": b"{}" * 50}.get(damage, damage))
    with pytest.warns(FirstshotWarning, match="set aside as .* and the clip is embedded anew"):
        assert same(layers_of(embed_clips(clips(1), settings, store=store)), expected)
    assert encoder.encoded == 2
    assert path.read_bytes() == content
    assert path.with_name(f"{path.name}.damaged").is_file()


def _flip(store, paths):
    content = bytearray(paths[0].read_bytes())
    content[-1] ^= 1
    paths[0].write_bytes(content)


def _swap(store, paths):
    first, second = paths[0].read_bytes(), paths[1].read_bytes()
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)


def _double(store, paths):
    paths[1].write_bytes(paths[0].read_bytes())


def _mistype(store, paths):
    arrays = unpack_arrays(paths[0].stem, paths[0].read_bytes())
    halved = {name: array.astype(np.float16) for name, array in arrays.items()}
    paths[0].write_bytes(pack_arrays(paths[0].stem, halved))


def _strip(store, paths):
    paths[0].write_bytes(save(unpack_arrays(paths[0].stem, paths[0].read_bytes())))


@pytest.mark.parametrize(
    ("damage", "bad", "reason"),
    [
        (_flip, 1, "its content is not what was written"),
        (_swap, 2, "it is the entry of another key"),
        (_double, 1, "it is the entry of another key"),
        (_mistype, 1, "it holds float16 where float32 is kept"),
        (_strip, 1, "it has no key and digest"),
    ],
)
def test_an_entry_that_is_not_what_was_written_is_set_aside_said_once_and_made_anew(
    tmp_path, damage, bad, reason
):
    encoder, store = CountingLogMel(), EmbeddingStore(tmp_path)
    settings = EmbeddingSettings(encoder, (1, 2))
    expected = layers_of(embed_clips(clips(3), settings, store=store))
    before = {path: path.read_bytes() for path in entries(store)}
    damage(store, list(before))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        again = layers_of(embed_clips(clips(3), settings, store=EmbeddingStore(tmp_path)))
    (message,) = [str(w.message) for w in said]
    assert reason in message
    assert same(again, expected)
    assert encoder.encoded == 3 + bad
    assert {path: path.read_bytes() for path in entries(store)} == before
    assert len(list(tmp_path.rglob("*.damaged"))) == bad
    assert store.summary().entries == 3


def test_a_layer_that_is_missing_is_added_beside_those_that_are_there(tmp_path):
    encoder, store = CountingLogMel(), EmbeddingStore(tmp_path)
    list(embed_clips(clips(2), EmbeddingSettings(encoder, (1,)), store=store))
    list(embed_clips(clips(2), EmbeddingSettings(encoder, (2,)), store=store))
    assert encoder.encoded == 4
    both = layers_of(embed_clips(clips(2), EmbeddingSettings(encoder, (1, 2)), store=store))
    assert encoder.encoded == 4
    assert len(entries(store)) == 2
    assert same(both, layers_of(embed_clips(clips(2), EmbeddingSettings(encoder, (1, 2)))))


def test_the_key_depends_on_the_samples_and_on_every_part_of_the_recipe():
    choices = [
        make_embedding_settings("logmel"),
        make_embedding_settings("logmel", {"keep_level": True}),
        make_embedding_settings("logmel", pooling="all"),
        make_embedding_settings("logmel", length="fixed:10"),
        make_embedding_settings("logmel", length="windows:10"),
        make_embedding_settings("logmel", length="windows:10:5"),
        make_embedding_settings("logmel", length="windows:10:5.0000001"),
    ]
    keys = [entry_key("a" * 64, settings.recipe()) for settings in choices]
    keys.append(entry_key("b" * 64, choices[0].recipe()))
    keys.append(entry_key("a" * 64, {**choices[0].recipe(), "encoder": "other"}))
    assert len(set(keys)) == len(keys)
    assert entry_key("a" * 64, make_embedding_settings("logmel").recipe()) == keys[0]


def test_the_chosen_channel_is_told_apart_by_its_samples(tmp_path):
    stereo = 0.1 * np.random.default_rng(0).standard_normal((3200, 2))
    store = EmbeddingStore(tmp_path)
    for channel in (0, 1, "mean"):
        list(
            embed_clips(
                [Clip("x", stereo)], EmbeddingSettings(LogMel(), (1,), channel=channel), store=store
            )
        )
    assert store.summary().entries == 3


def test_float16_halves_the_values_and_gives_the_same_on_the_first_run_as_on_the_second(tmp_path):
    store = EmbeddingStore(tmp_path, "float16")
    first = store.save(KEY, ARRAYS)
    second = store.load(KEY)
    assert first["layer_1"].dtype == second["layer_1"].dtype == np.float32
    assert np.array_equal(first["layer_1"], second["layer_1"])
    assert np.array_equal(first["layer_1"], ARRAYS["layer_1"].astype(np.float16))
    assert EmbeddingStore(tmp_path).load(KEY) is None


def test_a_value_that_float16_cannot_hold_is_refused_not_made_infinite(tmp_path):
    with pytest.raises(ParameterError, match=r"float16 cannot hold .*layer_1 up to 1e\+05"):
        EmbeddingStore(tmp_path, "float16").save(KEY, {"layer_1": np.full(3, 1e5, np.float32)})
    assert not list(tmp_path.iterdir())


def test_an_unknown_precision_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="'float64': choose one of float32, float16"):
        EmbeddingStore(tmp_path, "float64")


def test_a_full_disk_is_an_error_that_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    store = EmbeddingStore(tmp_path / "store")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"be written \(No space left on device\); free"):
        list(embed_clips(clips(1), EmbeddingSettings(LogMel(), (1,)), store=store))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_store_that_cannot_be_made_or_read_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file: cannot be written .* for the embedding store"):
        EmbeddingStore(tmp_path / "file").save(KEY, ARRAYS)
    store = EmbeddingStore(tmp_path / "store")
    store.save(KEY, ARRAYS)
    (path,) = entries(store)
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match="cannot be read"):
        store.load(KEY)


def _fill(folder, seed, results):
    settings = EmbeddingSettings(LogMel(), (1, 2))
    store = EmbeddingStore(Path(folder))
    found = [layers_of(embed_clips(clips(12), settings, store=store)) for _ in range(3)]
    results.put((seed, [np.concatenate(x).tobytes() for x in found]))


def test_two_processes_may_fill_one_store_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_fill, args=(str(tmp_path), i, results)) for i in range(2)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=60)[1] for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert len({content for answer in answers for content in answer}) == 1
    assert EmbeddingStore(tmp_path).summary().entries == 12
    assert not list(tmp_path.rglob(".*.part"))


def test_info_counts_and_prune_deletes_by_age_and_clears_what_kills_left(tmp_path):
    store = EmbeddingStore(tmp_path)
    assert store.summary().entries == 0
    keys = [entry_key(str(i), {}) for i in range(3)]
    for key in keys:
        store.save(key, ARRAYS)
    sizes = [path.stat().st_size for path in entries(store)]
    assert (store.summary().entries, store.summary().size) == (3, sum(sizes))
    old = entries(store)[0]
    long_ago = time.time() - 10 * 86400
    os.utime(old, (long_ago, long_ago))
    stale, fresh = old.parent / ".x.abc.part", old.parent / ".y.abc.part"
    for path in (stale, fresh):
        path.write_bytes(b"half")
    os.utime(stale, (long_ago, long_ago))
    damaged = old.parent / f"{'0' * 64}.safetensors.damaged"
    damaged.write_bytes(b"damaged")
    os.utime(damaged, (long_ago, long_ago))
    pruned = store.prune(older_than_days=7)
    assert not damaged.exists()
    assert (pruned.entries, pruned.size) == (1, sizes[0])
    assert not old.exists()
    assert not stale.exists()
    assert fresh.exists()
    assert store.prune().entries == 2
    assert store.summary().entries == 0
    assert EmbeddingStore(tmp_path / "never made").prune().entries == 0


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "a"))
    assert default_store_folder() == tmp_path / "a" / "embeddings"
    monkeypatch.delenv("FIRSTSHOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_store_folder() == tmp_path / "b" / "firstshot" / "embeddings"


def test_a_store_that_nobody_asked_for_does_not_stop_the_work(tmp_path, monkeypatch):
    import errno

    from firstshot import store as module

    def full(path, content):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module, "write_atomically", full)
    store = EmbeddingStore(tmp_path, required=False)
    arrays = {"layer_1": np.ones((1, 2), dtype=np.float32)}
    with pytest.warns(FirstshotWarning, match="--no-store keeps none.; embeddings are") as told:
        assert store.save("ab", arrays)["layer_1"].tolist() == [[1.0, 1.0]]
        assert store.save("cd", arrays)["layer_1"].tolist() == [[1.0, 1.0]]
    assert len(told) == 1
    assert "free some space" not in str(told[0].message)
    with pytest.raises(OutputError, match="Read-only file system"):
        EmbeddingStore(tmp_path).save("ab", arrays)
