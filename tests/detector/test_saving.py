"""A saved detector is the same detector, and anything else is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from firstshot.detector import Detector
from firstshot.detector.file import (
    SCHEMA,
    MemberRow,
    mapped,
    read_detector_file,
    write_detector_file,
)
from firstshot.detector.file import archive as zip_archive
from firstshot.detector.file import members as members_table
from firstshot.encoders.logmel import LogMel
from firstshot.errors import DetectorFileError, FirstshotWarning, OutputError
from firstshot.scoring.normalizers import NORMALIZERS
from firstshot.scoring.normalizers.base import OwnNeighbors
from firstshot.scoring.transform import TRANSFORMS

FILES = Path(__file__).parent / "files"
MEMBERS = ("bank.safetensors", "members.csv", "manifest.json")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*take the place of the K nearest"),
    pytest.mark.filterwarnings("ignore:test_zscore is transductive"),
]


def sounds(count, first=0, samples=4800):
    draws = [np.random.default_rng(first + i) for i in range(count)]
    return [(rng.random(samples) - 0.5, 16000) for rng in draws]


def stored_detector():
    """Make the detector of files/schema_N.firstshot: `.save(...)` of it is the latest of them."""
    return Detector(normalizer="local_density", normalizer_settings={"k": 2}, layers=[1, 2]).fit(
        sounds(7), sounds(4, 50)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        detector = Detector("logmel").fit(sounds(14), sounds(5, 50))
    path = tmp_path_factory.mktemp("saved") / "fan.firstshot"
    detector.save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    path = tmp_path / "copy.firstshot"
    path.write_bytes(saved.read_bytes())
    return path


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refused(path, match, **how):
    with pytest.raises(DetectorFileError, match=match) as error:
        Detector.load(path, **how)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def digest_of(manifest):
    digests = {k: v for k, v in manifest["sha256"].items() if k != "manifest"}
    text = json.dumps({**manifest, "sha256": digests}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_loaded_detector_gives_the_same_bits(tmp_path, normalizer, transform):
    source, target, new = sounds(14), sounds(5, 50), sounds(4, 90)
    detector = Detector(normalizer=normalizer, transform=transform, layers=[1, 2])
    detector.fit(source, target)
    detector.save(tmp_path / "x.firstshot")
    loaded = Detector.load(tmp_path / "x.firstshot")
    assert np.array_equal(loaded.score(new), detector.score(new))
    assert loaded.predict(new) == detector.predict(new)
    assert loaded.threshold_ == detector.threshold_
    assert np.array_equal(loaded.training_scores_, detector.training_scores_)


@pytest.mark.parametrize(
    "settings",
    [
        {"combine": "concat", "layers": [-1, 1], "metric": "cosine"},
        {"memmixup": True, "normalizer_settings": {"k_source": np.int64(3)}},
        {"length": "windows:0.123456789:0.1", "channel": 0},
        {"encoder_settings": {"keep_level": True}, "pooling": "all"},
        {"layers": np.array([2]), "false_alarm_rate": np.float64(0.2), "metric": "euclidean"},
    ],
)
def test_every_setting_comes_back(tmp_path, settings):
    detector = Detector(**settings).fit(sounds(12), sounds(4, 50))
    detector.save(tmp_path / "x.firstshot")
    loaded = Detector.load(tmp_path / "x.firstshot")
    assert loaded.embedding_settings().recipe() == detector.embedding_settings().recipe()
    assert loaded.fitted_.recipe == detector.fitted_.recipe
    assert loaded.predict(sounds(3, 90)) == detector.predict(sounds(3, 90))
    assert loaded.explain(sounds(1, 91)[0]) == detector.explain(sounds(1, 91)[0])
    if detector.embedding_settings().length.kind == "native":
        again = loaded.fit(sounds(12), sounds(4, 50))
        assert np.array_equal(again.training_scores_, detector.training_scores_)


def test_a_loaded_detector_calibrates_and_saves_like_the_one_that_was_saved(saved, tmp_path):
    loaded = Detector.load(saved)
    loaded.calibrate(0.2, "conformal").save(tmp_path / "again.firstshot")
    again = Detector.load(tmp_path / "again.firstshot")
    assert again.threshold_ == loaded.threshold_
    assert again.threshold_.method == "conformal"
    Detector.load(saved).save(tmp_path / "same.firstshot")
    assert (tmp_path / "same.firstshot").read_bytes() == saved.read_bytes()


def test_equal_detectors_are_equal_files_without_code(tmp_path):
    for name in ("a", "b"):
        Detector("logmel").fit(sounds(8), sounds(4, 50)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert tuple(contents(tmp_path / "a")) == MEMBERS
    table = contents(tmp_path / "a")["members.csv"].decode().splitlines()
    assert table[0] == "clip,domain,samples_sha256"
    assert [row.split(",")[:2] for row in table[1:3]] == [
        ["array 0", "source"],
        ["array 1", "source"],
    ]


def test_loading_warns_of_nothing(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Detector.load(saved)


@pytest.mark.parametrize(
    "name",
    [b"cr\r.wav", b"crlf\r\n.wav", b"caf\xe9.wav", b"\x1b[1m.wav", b"a\\xe9.wav", b"=1+1,.wav"],
)
def test_names_of_any_bytes_come_back_and_open_the_file(tmp_path, name):
    rows = [MemberRow(os.fsdecode(name), "source", "0"), MemberRow("b\\x.wav@2.5s", "target", "1")]
    write_detector_file(tmp_path / "names", {}, {"x": np.zeros(1)}, rows)
    contents(tmp_path / "names")["members.csv"].decode("utf-8")
    _, _, again = read_detector_file(tmp_path / "names")
    assert again == rows
    assert os.fsencode(again[0].clip) == name


def test_only_a_table_with_escapes_says_so_and_older_tables_are_read_as_they_are(tmp_path):
    headers = []
    for name in ("plain, \n.wav", "caf\udce9.wav"):
        row = MemberRow(name, "source", "0")
        write_detector_file(tmp_path / "file", {}, {"x": np.zeros(1)}, [row])
        headers.append(contents(tmp_path / "file")["members.csv"].split(b",")[0])
    assert headers == [b"clip", b"clip_written"]
    # Before names were escaped, a backslash was a backslash.
    old = b"clip,domain,samples_sha256\na\\xe9.wav,source,0\n"
    assert members_table.members_from_csv(old) == [MemberRow(r"a\xe9.wav", "source", "0")]


@pytest.mark.parametrize(
    "table",
    [b"", b"\n", b"name,domain,sha\n", b"clip,domain,sha\na,b\n", b"clip,d,s\na\rb,source,0\n"],
)
def test_a_table_of_members_that_is_none_is_a_damaged_file(tmp_path, monkeypatch, table):
    monkeypatch.setattr(zip_archive, "members_to_csv", lambda members: table)
    write_detector_file(tmp_path / "odd", {}, {"x": np.zeros(1)}, [])
    with pytest.raises(DetectorFileError, match="not a whole detector file"):
        read_detector_file(tmp_path / "odd")


def test_names_with_commas_quotes_and_line_breaks_come_back(tmp_path):
    rows = [MemberRow('a,"b"\n.wav', "source", "0"), MemberRow("größe.wav", "target", "1")]
    write_detector_file(tmp_path / "x", {}, {"a": np.arange(3.0)}, rows)
    manifest, arrays, found = read_detector_file(tmp_path / "x")
    assert found == rows
    assert manifest["schema"] == SCHEMA
    assert np.array_equal(arrays["a"], np.arange(3.0))


@pytest.fixture
def _mapped(monkeypatch):
    monkeypatch.setattr(mapped, "MAPPED_FROM", 0)


@pytest.mark.usefixtures("_mapped")
def test_arrays_are_mapped_as_they_are_in_the_file_and_nothing_is_held_twice(tmp_path):
    bank = np.random.default_rng(0).standard_normal((2000, 4000)).astype(np.float16)
    arrays = {"a": np.arange(3.0), "bank": bank}
    tracemalloc.start()
    try:
        write_detector_file(tmp_path / "x", {}, arrays, [])
        _, found, _ = read_detector_file(tmp_path / "x")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < bank.nbytes / 3
    for name, array in found.items():
        assert (array.dtype, array.ctypes.data % 64) == (arrays[name].dtype, 0)
        assert not array.flags.writeable
        assert np.array_equal(array, arrays[name])


@pytest.mark.parametrize("loaded", [False, True])
def test_a_bank_is_held_once_from_the_file_to_the_search(tmp_path, loaded):
    detector = Detector(transform="none", layers=[2]).fit(sounds(14), sounds(5, 50))
    if loaded:
        detector.save(tmp_path / "x.firstshot")
        detector = Detector.load(tmp_path / "x.firstshot")
    (part,) = detector.parts_
    assert part.transformed is part.bank
    for domain, array in part.bank.arrays().items():
        held = part.normalizer.banks_[domain].index.points.rows
        assert np.shares_memory(held, part.bank.embeddings)
        assert np.array_equal(held, array)


@pytest.mark.usefixtures("_mapped")
def test_a_mapped_file_that_is_written_to_is_told_of_before_it_is_used(copy):
    loaded, clips = Detector.load(copy), sounds(2, 90)
    loaded.score(clips)
    content = copy.read_bytes()
    with copy.open("r+b") as opened:
        opened.truncate(100)
    for use in (lambda: loaded.score(clips), lambda: loaded.save(copy)):
        with pytest.raises(DetectorFileError, match="written to while its detector is in use"):
            use()
    copy.write_bytes(content)
    assert len(Detector.load(copy).score(clips)) == 2


def test_a_small_file_is_read_so_writing_to_it_changes_no_detector_in_use(copy):
    loaded, clips = Detector.load(copy), sounds(2, 90)
    expected = loaded.score(clips)
    copy.write_bytes(b"something else")
    assert np.array_equal(loaded.score(clips), expected)


@pytest.mark.parametrize("small", [False, True])
def test_a_detector_may_replace_the_file_it_is_mapped_from(copy, monkeypatch, small):
    monkeypatch.setattr(mapped, "MAPPED_FROM", 1 << 26 if small else 0)
    loaded, new = Detector.load(copy), sounds(3, 90)
    expected = loaded.score(new)
    loaded.calibrate(0.3).save(copy)
    assert np.array_equal(loaded.score(new), expected)
    again = Detector.load(copy)
    assert np.array_equal(again.score(new), expected)
    assert again.threshold_ == loaded.threshold_


def test_a_file_that_was_zipped_anew_and_stored_loads(copy):
    expected = Detector.load(copy).score(sounds(2, 90))
    members = contents(copy)
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
        for name in reversed(MEMBERS):
            archive.writestr(name, members[name])
    assert np.array_equal(Detector.load(copy).score(sounds(2, 90)), expected)


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("mapped_from", [0, 1 << 26])
def test_a_compressed_member_is_refused_before_it_is_read(copy, monkeypatch, member, mapped_from):
    """20 MB of zeros take 20 kB of a zip file: reading them would take a thousand times more."""
    monkeypatch.setattr(mapped, "MAPPED_FROM", mapped_from)
    members = {**contents(copy), member: bytes(20_000_000)}
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in members.items():
            kind = zipfile.ZIP_DEFLATED if name == member else zipfile.ZIP_STORED
            archive.writestr(name, content, kind)
    tracemalloc.start()
    try:
        refused(copy, f"{member} is compressed or encrypted")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


def test_members_that_are_there_twice_or_longer_than_they_may_be_are_refused(copy):
    members = contents(copy)
    with zipfile.ZipFile(copy, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("manifest.json", members["manifest.json"])
    refused(copy, "manifest.json is in it twice")
    rezip(copy, {**members, "manifest.json": b" " * zip_archive.MOST_MANIFEST + b"{}"})
    refused(copy, "manifest.json has more than 1048576 bytes")


@pytest.mark.parametrize("memmixup", [False, True])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_loading_measures_nothing_anew(tmp_path, monkeypatch, normalizer, memmixup):
    detector = Detector(normalizer=normalizer, memmixup=memmixup).fit(sounds(8), sounds(4, 50))
    detector.save(tmp_path / "x.firstshot")
    new = sounds(3, 90)
    expected = detector.score(new)
    with monkeypatch.context() as patched:
        patched.setattr(OwnNeighbors, "of", lambda *_: pytest.fail("neighbours were searched"))
        loaded = Detector.load(tmp_path / "x.firstshot")
        assert np.array_equal(loaded.score(new), expected)
    for part, other in zip(loaded.parts_, detector.parts_, strict=True):
        left, expected_left = part.normalizer.leave_one_out(), other.normalizer.leave_one_out()
        for domain, values in expected_left.items():
            assert np.array_equal(left[domain], values)


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("source.density", lambda x: x[:-1]),
        ("source.density", lambda x: x * np.nan),
        ("target.density", lambda x: x * 0),
        ("target.density", lambda x: x.astype(np.float32)),
        ("target.first", lambda x: x + 1),
        ("source.first", lambda x: x[::-1].copy()),
        ("source.first", lambda x: None),
    ],
)
def test_a_state_that_does_not_fit_the_bank_is_refused(copy, name, spoilt):
    manifest, arrays, rows = read_detector_file(copy)
    values = spoilt(arrays.pop(f"part_0.normalizer.{name}"))
    if values is not None:
        arrays[f"part_0.normalizer.{name}"] = values
    write_detector_file(copy, manifest, arrays, rows)
    refused(copy, "not a detector that this firstshot can make again .*saved state of domain_local")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    refused(tmp_path / "none.firstshot", "no such detector file; `firstshot fit NORMAL_DIR")


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(copy, kept):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    refused(copy, "not a whole detector file")


def test_any_flipped_byte_is_refused_or_changes_no_score(copy):
    content, new = copy.read_bytes(), sounds(1, 90)
    expected = Detector.load(copy).score(new)
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[place] ^= 0x55
        copy.write_bytes(flipped)
        try:
            loaded = Detector.load(copy)
        except DetectorFileError as error:
            assert "\n" not in str(error)
        else:
            assert np.array_equal(loaded.score(new), expected)


@pytest.mark.parametrize("member", ["bank.safetensors", "members.csv"])
def test_an_altered_member_is_named(copy, member):
    members = contents(copy)
    altered = bytearray(members[member])
    altered[-2] ^= 1
    rezip(copy, {**members, member: bytes(altered)})
    refused(copy, f"{member} was altered after the file was written")


def test_a_threshold_edited_by_hand_is_refused(copy):
    members = contents(copy)
    manifest = json.loads(members["manifest.json"])
    manifest["threshold"]["value"] *= 2
    rezip(copy, {**members, "manifest.json": json.dumps(manifest)})
    refused(copy, "manifest was altered after the file was written")
    manifest["sha256"] = None
    rezip(copy, {**members, "manifest.json": json.dumps(manifest)})
    refused(copy, "lacks the digests")


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_member_is_refused(copy, member):
    members = contents(copy)
    del members[member]
    rezip(copy, members)
    refused(copy, f"not a whole detector file .*{member}")


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "2", None])
def test_a_newer_schema_is_refused_with_the_way_out(copy, schema):
    members = contents(copy)
    manifest = {**json.loads(members["manifest.json"]), "schema": schema}
    rezip(copy, {**members, "manifest.json": json.dumps(manifest)})
    refused(copy, "update firstshot or fit anew")


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', "{}", "not json", "[" * 5000])
def test_a_manifest_that_is_none_is_refused(copy, content):
    rezip(copy, {**contents(copy), "manifest.json": content})
    refused(copy, "not a whole detector file")


def test_any_other_zip_file_and_folder_are_refused(tmp_path):
    rezip(tmp_path / "other.zip", {"letter.txt": "hello"})
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "other.zip", tmp_path / "text"):
        refused(path, "not a whole detector file")
    refused(tmp_path, "is a folder; name a file")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoder", {}),
        ("settings", {"colour": "red"}),
        ("layers", [9]),
        ("transform", "whiten"),
        ("threshold", {}),
        ("length", None),
    ],
)
def test_a_whole_file_that_makes_no_detector_is_refused(copy, field, value):
    members = contents(copy)
    manifest = {**json.loads(members["manifest.json"]), field: value}
    manifest["sha256"]["manifest"] = digest_of(manifest)
    rezip(copy, {**members, "manifest.json": json.dumps(manifest)})
    refused(copy, "not a detector that this firstshot can make again")


def test_another_encoder_or_other_settings_of_it_are_refused(saved, tmp_path):
    refused(saved, "made with logmel of other weights or settings", encoder=LogMel(keep_level=True))
    detector = Detector(LogMel(keep_level=True)).fit(sounds(8), sounds(4, 50))
    detector.save(tmp_path / "x.firstshot")
    refused(tmp_path / "x.firstshot", "other weights or settings")
    loaded = Detector.load(tmp_path / "x.firstshot", encoder=LogMel(keep_level=True))
    assert np.array_equal(loaded.score(sounds(2, 90)), detector.score(sounds(2, 90)))


def test_an_encoder_that_is_not_installed_here_is_named(copy):
    members = contents(copy)
    manifest = json.loads(members["manifest.json"])
    manifest["encoder"]["name"] = "my_plugin"
    manifest["sha256"]["manifest"] = digest_of(manifest)
    rezip(copy, {**members, "manifest.json": json.dumps(manifest)})
    refused(copy, r"made with the encoder 'my_plugin', which is not known here; install it")


def test_an_installation_that_computes_other_numbers_is_refused(saved, monkeypatch):
    plain = LogMel._log_energies
    monkeypatch.setattr(LogMel, "_log_energies", lambda self, clip: 1.1 * plain(self, clip))
    refused(saved, "its self-check clip scores .* here and .* where made")


def test_a_place_that_cannot_be_written_is_an_output_error_and_keeps_the_old_file(
    saved, tmp_path, monkeypatch
):
    detector = Detector.load(saved)
    with pytest.raises(OutputError, match="cannot be written"):
        detector.save(tmp_path)
    path = tmp_path / "fan.firstshot"
    detector.save(str(path))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        detector.calibrate(0.3).save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["fan.firstshot"]


def test_a_file_that_exists_is_kept_where_the_caller_says_so(saved, tmp_path):
    detector, path = Detector.load(saved), tmp_path / "fan.firstshot"
    path.write_text("mine")
    with pytest.raises(OutputError, match="another program has made it meanwhile"):
        detector.save(path, overwrite=False)
    assert path.read_text() == "mine"
    path.unlink()
    detector.save(path, overwrite=False)
    assert path.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_a_file_of_every_schema_loads_and_scores_as_recorded(schema):
    recorded = json.loads((FILES / f"schema_{schema}.json").read_text())
    detector = Detector.load(FILES / f"schema_{schema}.firstshot")
    results = detector.predict(sounds(4, 90))
    np.testing.assert_allclose([r.score for r in results], recorded["scores"], rtol=1e-5)
    assert [r.nearest[0].clip for r in results] == recorded["nearest"]
    assert [r.p_value for r in results] == recorded["p_values"]
    assert detector.threshold_.value == recorded["threshold"]
    fresh = stored_detector()
    np.testing.assert_allclose(fresh.score(sounds(4, 90)), recorded["scores"], rtol=1e-5)
