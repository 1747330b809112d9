import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from email.utils import formatdate

import pytest
import typer
from tests.dcase.record_server import Fault, RecordServer
from typer.testing import CliRunner

from firstshot.cli.challenge.download import download as download_command
from firstshot.dcase.data.archives import select_archives
from firstshot.dcase.data.check import check
from firstshot.dcase.data.download import download
from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.data.zenodo import Connection
from firstshot.errors import DownloadError, FirstshotError, OutputError, ParameterError
from firstshot.sound.synth.dataset import write_dataset

DEV = 15097779  # the development set of 2025
BIG = 3_000_000


def make_zip(entries):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def make_archives(year, parts, machines=None):
    """Small archives, each with its machine's folder, as the records hold them."""
    records = {}
    for archive in select_archives(year, parts, machines):
        splits = {"dev": ("train", "test"), "train": ("train",), "eval": ("test",)}[archive.part]
        records.setdefault(archive.record, {})[archive.name] = make_zip(
            {f"{archive.machine}/{split}/{archive.name}.wav": b"sound" for split in splits}
        )
    return records


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "downloads" not in path.parts
    }


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def fan_clips(tmp_path_factory):
    """A development set of one machine, its files by name."""
    folder = tmp_path_factory.mktemp("set")
    write_dataset(
        folder, ["SynthFan"], clip_seconds=0.1, train_source=3, train_target=2, test_per_class=2
    )
    (folder / "SynthFan" / "faults_00.csv").unlink()
    return tree(folder / "SynthFan")


@pytest.fixture
def server(fan_clips):
    noise = random.Random(0).randbytes(BIG)  # so that the archive does not come in one piece
    entries = {f"fan/{name}": content for name, content in fan_clips.items()}
    dev_fan = make_zip({**entries, "fan/supplemental/section_00_noise_0000.wav": noise})
    with RecordServer({DEV: {"dev_fan.zip": dev_fan}}) as server:
        yield server


@pytest.fixture
def expected(server):
    with zipfile.ZipFile(io.BytesIO(server.records[DEV]["dev_fan.zip"])) as archive:
        return {f"dev_data/raw/{name}": archive.read(name) for name in archive.namelist()}


def patient(server, **settings):
    return Connection(
        server.url, **{"timeout": 5, "tries": 4, "first_pause": 0.01, "longest_wait": 3, **settings}
    )


def bring(server, out, **settings):
    """Download the development set's fan of 2025; the tests vary what goes wrong."""
    given = {"parts": ["dev"], "machines": ["fan"], "connection": patient(server), **settings}
    return download(2025, out, **given)


@pytest.fixture
def told(caplog):
    """What is logged for the user."""
    caplog.set_level("INFO", "firstshot")
    return caplog


def part_of(out):
    return out / "dcase2025t2" / "downloads" / "dev_fan.zip.part"


def test_a_machine_comes_into_the_official_layout_and_passes_the_check(tmp_path, fan_clips):
    archive = make_zip({f"fan/{name}": content for name, content in fan_clips.items()})
    with RecordServer({DEV: {"dev_fan.zip": archive}}) as server:
        done = bring(server, tmp_path)
    assert (done.root, done.fetched) == (tmp_path / "dcase2025t2", ("dev_fan.zip",))
    clips = tree(done.root / "dev_data" / "raw" / "fan")
    assert clips == fan_clips
    assert check(done.root).ok
    (section,) = read_layout(done.root)
    assert (section.name, len(section.train), len(section.test)) == ("fan_section_00", 5, 8)


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2023, 2024, 2026])
def test_every_part_of_a_year_comes_from_its_record(tmp_path, year):
    with RecordServer(make_archives(year, None)) as server:
        done = download(year, tmp_path, connection=patient(server))
    wanted = select_archives(year)
    assert done.fetched == tuple(archive.name for archive in wanted)
    for archive in wanted:
        split = "test" if archive.part == "eval" else "train"
        assert (done.root / archive.folder / split / f"{archive.name}.wav").is_file()
    assert sum("files" not in asked.path for asked in server.asked) == 3  # a listing per record
    assert sorted(path.name for path in done.root.iterdir()) == [
        "dev_data",
        "downloads",
        "eval_data",
    ]


def test_a_second_run_asks_nobody_and_changes_nothing(server, expected, tmp_path):
    bring(server, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.asked.clear()
    done = bring(server, tmp_path)
    assert (done.fetched, done.present) == ((), ("dev_fan.zip",))
    assert server.asked == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert tree(done.root) == expected


def test_the_marker_names_the_record_and_its_checksum(server, expected, tmp_path):
    done = bring(server, tmp_path)
    marker = json.loads((done.root / "downloads" / "dev_fan.zip.json").read_text())
    content = server.records[DEV]["dev_fan.zip"]
    assert marker["checksum"] == "md5:" + hashlib.md5(content).hexdigest()
    assert (marker["record"], marker["size"]) == (DEV, len(content))
    assert marker["files"] == {
        name.removeprefix("dev_data/raw/fan/"): len(content) for name, content in expected.items()
    }


@pytest.mark.parametrize("harm", ["a clip is gone", "a clip is cut", "the folder is gone"])
def test_what_was_lost_since_is_brought_again(server, expected, tmp_path, harm, told):
    done = bring(server, tmp_path)
    fan = done.root / "dev_data" / "raw" / "fan"
    clip = min((fan / "train").iterdir())
    if harm == "the folder is gone":
        shutil.rmtree(fan)
    elif harm == "a clip is gone":
        clip.unlink()
    else:
        clip.write_bytes(clip.read_bytes()[:50])
    told.clear()
    assert bring(server, tmp_path).fetched == ("dev_fan.zip",)
    assert tree(done.root) == expected
    assert "1 of" in told.messages[0] or harm == "the folder is gone"
    assert "dev_fan.zip are gone or changed" in told.messages[0]
    size = len(server.records[DEV]["dev_fan.zip"])
    assert told.messages[1] == f"{done.root}: archives to fetch: 1, {size / 1e9:.3g} GB"


def test_a_kept_archive_repairs_the_folder_without_another_download(server, expected, tmp_path):
    done = bring(server, tmp_path, keep_archives=True)
    assert (done.root / "downloads" / "dev_fan.zip").is_file()
    shutil.rmtree(done.root / "dev_data")
    bring(server, tmp_path, keep_archives=True)
    assert len(server.asked_for("content")) == 1
    assert tree(done.root) == expected


def test_archives_are_removed_unless_they_are_to_be_kept(server, tmp_path):
    downloads = bring(server, tmp_path).root / "downloads"
    names = sorted(path.name for path in downloads.iterdir())
    assert names == [".dev_data-raw-fan.lock", "dev_fan.zip.json"]


def test_an_archive_put_there_by_hand_is_checked_and_used(server, expected, tmp_path):
    downloads = tmp_path / "dcase2025t2" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "dev_fan.zip").write_bytes(server.records[DEV]["dev_fan.zip"])
    done = bring(server, tmp_path)
    assert server.asked_for("content") == []
    assert tree(done.root) == expected


def test_a_wrong_archive_put_there_by_hand_is_fetched_anew(server, expected, tmp_path, told):
    downloads = tmp_path / "dcase2025t2" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "dev_fan.zip").write_bytes(b"old")
    done = bring(server, tmp_path)
    assert tree(done.root) == expected
    assert "not the file that the record lists" in told.messages[-1]


def test_after_a_cut_only_the_rest_is_asked_for(server, expected, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(cut_after=1_000_000), Fault(cut_after=500_000)]
    done = bring(server, tmp_path)
    first, second, third = server.asked_for("content")
    size = len(server.records[DEV]["dev_fan.zip"])
    assert first.range is None
    assert [second.range, third.range] == ["bytes=1000000-", "bytes=1500000-"]
    assert third.sent == size - 1_500_000
    assert tree(done.root) == expected


def test_a_second_run_goes_on_where_the_first_gave_up(server, expected, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(cut_after=700_000), *[Fault(status=503)] * 3]
    with pytest.raises(DownloadError, match=r"busy \(HTTP 503\), 4 times in a row.*continues from"):
        bring(server, tmp_path)
    assert part_of(tmp_path).stat().st_size == 700_000
    done = bring(server, tmp_path)
    assert server.asked_for("content")[-1].range == "bytes=700000-"
    assert tree(done.root) == expected
    assert not part_of(tmp_path).exists()


def test_cuts_that_each_bring_a_mebibyte_are_not_counted_as_failures_in_a_row(server, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(cut_after=1 << 20)] * 2
    bring(server, tmp_path, connection=patient(server, tries=2))
    assert len(server.asked_for("content")) == 3


def test_a_server_without_ranges_is_asked_from_the_start(server, expected, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(cut_after=1_000_000), Fault(ignore_range=True)]
    done = bring(server, tmp_path)
    assert [asked.range for asked in server.asked_for("content")] == [None, "bytes=1000000-"]
    assert tree(done.root) == expected


def test_a_redirection_is_followed_with_the_range(server, expected, tmp_path):
    path = f"/api/records/{DEV}/files/dev_fan.zip/content"
    away = Fault(status=302, headers={"Location": f"{server.url}{path}"})
    server.faults["dev_fan.zip"] = [Fault(cut_after=1_000_000), away]
    assert tree(bring(server, tmp_path).root) == expected
    assert [asked.range for asked in server.asked_for("content")][1:] == ["bytes=1000000-"] * 2


def test_a_part_longer_than_the_file_is_thrown_away(server, expected, tmp_path):
    part_of(tmp_path).parent.mkdir(parents=True)
    part_of(tmp_path).write_bytes(bytes(BIG * 2))
    assert tree(bring(server, tmp_path).root) == expected
    assert [asked.range for asked in server.asked_for("content")] == [None]


def test_bytes_from_elsewhere_than_asked_for_are_not_appended(server, expected, tmp_path, told):
    size = len(server.records[DEV]["dev_fan.zip"])
    elsewhere = {"Content-Range": f"bytes 5-9/{size}"}
    server.faults["dev_fan.zip"] = [
        Fault(cut_after=1000),
        Fault(status=206, headers=elsewhere, body=b"wrong"),
        Fault(status=206, body=b"wrong"),
    ]
    assert tree(bring(server, tmp_path).root) == expected
    assert "sent bytes from 5 on instead of 1000" in told.messages[2]
    assert "does not say which bytes it sends" in told.messages[3]
    assert server.asked_for("content")[-1].range == "bytes=1000-"


def test_a_part_that_is_whole_is_not_asked_for_again(server, expected, tmp_path):
    part_of(tmp_path).parent.mkdir(parents=True)
    part_of(tmp_path).write_bytes(server.records[DEV]["dev_fan.zip"])
    assert tree(bring(server, tmp_path).root) == expected
    assert server.asked_for("content") == []


def test_a_refused_range_begins_the_file_anew(server, expected, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(cut_after=1000), Fault(status=416)]
    assert tree(bring(server, tmp_path).root) == expected
    assert [asked.range for asked in server.asked_for("content")] == [None, "bytes=1000-", None]


def test_a_wrong_checksum_is_named_and_the_file_removed(server, expected, tmp_path):
    right = "md5:" + hashlib.md5(server.records[DEV]["dev_fan.zip"]).hexdigest()
    server.checksums["dev_fan.zip"] = "md5:" + "0" * 32
    with pytest.raises(DownloadError) as caught:
        bring(server, tmp_path)
    message = str(caught.value)
    assert "dev_fan.zip" in message
    assert right in message
    assert "the record says md5:" + "0" * 32 in message
    assert "removed" in message
    assert tree(tmp_path) == {}
    assert not part_of(tmp_path).exists()
    server.checksums.clear()
    assert tree(bring(server, tmp_path).root) == expected


def test_a_part_of_another_file_is_found_by_its_checksum_and_removed(server, expected, tmp_path):
    part_of(tmp_path).parent.mkdir(parents=True)
    part_of(tmp_path).write_bytes(bytes(1000))
    with pytest.raises(DownloadError, match=r"dev_fan\.zip: checksum md5:"):
        bring(server, tmp_path)
    assert tree(bring(server, tmp_path).root) == expected


def test_other_checksums_than_md5_are_understood(server, expected, tmp_path):
    digest = hashlib.sha256(server.records[DEV]["dev_fan.zip"]).hexdigest()
    server.checksums["dev_fan.zip"] = f"sha256:{digest.upper()}"
    assert tree(bring(server, tmp_path).root) == expected


def test_a_file_of_another_size_than_the_record_says_is_refused(server, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(body=b"<html>please log in</html>")]
    with pytest.raises(DownloadError, match=r"the server has 26 bytes, but the record says 3\d+"):
        bring(server, tmp_path)


@pytest.mark.parametrize(("status", "where"), [(429, "listing"), (503, "file")])
def test_the_server_is_given_the_time_it_asks_for(server, expected, tmp_path, status, where, told):
    path = str(DEV) if where == "listing" else "dev_fan.zip"
    server.faults[path] = [Fault(status=status, headers={"Retry-After": "1"})]
    begun = time.monotonic()
    done = bring(server, tmp_path)
    assert time.monotonic() - begun >= 1
    assert tree(done.root) == expected
    assert f"(HTTP {status}); trying again in 1 s" in "".join(told.messages)


def test_a_wait_may_be_told_as_a_date_or_as_zenodos_next_window(server, tmp_path):
    soon = time.time() + 2
    server.faults[str(DEV)] = [
        Fault(status=429, headers={"Retry-After": formatdate(soon - 1000)}),
        Fault(status=429, headers={"X-RateLimit-Reset": str(int(soon))}),
    ]
    bring(server, tmp_path)
    assert time.time() >= int(soon)


def test_a_longer_wait_than_is_borne_ends_with_what_was_asked(server, tmp_path):
    server.faults[str(DEV)] = [Fault(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(DownloadError, match=r"asks to wait 3600 s; run the same command again"):
        bring(server, tmp_path)
    assert len(server.asked) == 1


def test_a_server_that_is_always_busy_is_left_after_some_tries(server, tmp_path):
    server.faults[str(DEV)] = [Fault(status=429)] * 10
    with pytest.raises(DownloadError, match=r"HTTP 429\), 4 times in a row"):
        bring(server, tmp_path)
    assert len(server.asked) == 4


def test_a_silent_server_is_left_after_the_timeout(server, tmp_path):
    server.faults[str(DEV)] = [Fault(stall=0.6)] * 2
    with pytest.raises(DownloadError, match="2 times in a row; check the network"):
        bring(server, tmp_path, connection=patient(server, timeout=0.2, tries=2))


def test_a_record_that_is_not_there_is_named_with_its_address(server, tmp_path):
    del server.records[DEV]
    with pytest.raises(DownloadError, match=rf"{server.url}/api/records/{DEV}: not there.*--api"):
        bring(server, tmp_path)
    assert len(server.asked) == 1


def test_a_listed_file_that_is_not_there_is_named_with_its_address(server, tmp_path):
    server.faults["dev_fan.zip"] = [Fault(status=404)]
    with pytest.raises(DownloadError, match=r"dev_fan\.zip/content: not there \(HTTP 404\)"):
        bring(server, tmp_path)


def test_a_refusal_is_not_tried_again(server, tmp_path):
    server.faults[str(DEV)] = [Fault(status=403)]
    with pytest.raises(DownloadError, match=r"refused by the server \(HTTP 403\)"):
        bring(server, tmp_path)


def test_no_network_is_one_line_with_the_address_and_the_way_out(tmp_path):
    with RecordServer({}) as gone:
        connection = patient(gone)
    with pytest.raises(DownloadError) as caught:
        download(2025, tmp_path, parts=["dev"], connection=connection)
    message = str(caught.value)
    assert message.startswith(f"{gone.url}/api/records/{DEV}: cannot be reached (")
    assert "check the network or the proxy" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"<html>log in to the hotel</html>", "not a record"),
        (b'{"id": 7, "files": []}', f"is record 7, not {DEV}"),
        (b"[]", f"is record None, not {DEV}"),
        (b'{"id": %d}' % DEV, "lists no files"),
        (b'{"id": %d, "files": [{"key": "dev_pump.zip"}]}' % DEV, "only dev_pump.zip"),
        (b'{"id": %d, "files": [{"key": "dev_fan.zip", "size": 5}]}' % DEV, "checksum 'none'"),
        (
            b'{"id": %d, "files": [{"key": "dev_fan.zip", "size": 5, "checksum": "md5:0",'
            b' "links": {"self": "file:///etc/passwd"}}]}' % DEV,
            "expected bytes, md5:... and http",
        ),
    ],
)
def test_an_answer_that_is_not_the_record_is_refused(server, tmp_path, body, complaint):
    server.faults[str(DEV)] = [Fault(body=body)]
    with pytest.raises(DownloadError) as caught:
        bring(server, tmp_path)
    assert complaint in str(caught.value)
    assert f"{server.url}/api/records/{DEV}" in str(caught.value)


def test_a_cut_listing_is_asked_for_again(server, expected, tmp_path):
    server.faults[str(DEV)] = [Fault(cut_after=40)]
    assert tree(bring(server, tmp_path).root) == expected


def test_the_name_of_the_challenges_pages_serves_where_the_record_has_only_that(server, tmp_path):
    server.records[DEV] = {"dev_data_fan.zip": server.records[DEV]["dev_fan.zip"]}
    assert (bring(server, tmp_path).root / "dev_data" / "raw" / "fan" / "train").is_dir()
    server.asked.clear()
    assert bring(server, tmp_path).fetched == ()
    assert server.asked == []


def test_too_little_space_is_told_before_anything_is_fetched(server, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=2 * BIG)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(OutputError, match=r"0\.006 GB are free, but .* needs about 0\.007"):
        bring(server, tmp_path)
    assert server.asked_for("content") == []


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "dcase2025t2").write_text("a file")
    with pytest.raises(OutputError, match=r"downloads: cannot be made"):
        bring(server, tmp_path)


def test_progress_counts_bytes_of_the_archive_and_of_what_it_unpacks_to(server, expected, tmp_path):
    seen = {}
    server.faults["dev_fan.zip"] = [Fault(cut_after=1_000_000)]
    bring(
        server,
        tmp_path,
        progress=lambda title: lambda *step: seen.setdefault(title, []).append(step),
    )
    size = len(server.records[DEV]["dev_fan.zip"])
    steps = seen["dev_fan.zip (1 of 1)"]
    assert steps == sorted(steps)
    assert steps[-1] == (size, size)
    assert seen["unpacking dev_fan.zip (1 of 1)"][-1][0] == sum(map(len, expected.values()))


CHILD = """
import os, signal, sys
from pathlib import Path
from firstshot.dcase.data.download import download
from firstshot.dcase.data.zenodo import Connection

url, out, where, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def die_at(step):
    if step == count:
        os.kill(os.getpid(), signal.SIGKILL)

original, seen = Path.replace, []

def replace(self, goal):  # die before the n-th file or folder is put in its place
    seen.append(goal)
    die_at(len(seen) if where == "replace" else -1)
    return original(self, goal)

Path.replace = replace

def progress(title):
    steps = []
    kind = "unpack" if title.startswith("unpacking") else "fetch"
    def step(done, total):
        steps.append(done)
        die_at(len(steps) if where == kind else -1)
    return step

download(2025, out, parts=["dev"], machines=["fan"], connection=Connection(url), progress=progress)
print("whole")
"""


def start(server, out, where="nowhere", count=0):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), server.url, str(out), where, str(count)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("fetch", 10),
        ("unpack", 1),
        ("unpack", 7),
        ("replace", 1),  # the archive gets its name
        ("replace", 2),  # the machine's folder gets its place
        ("replace", 3),  # the marker gets its name
    ],
)
def test_a_run_that_is_killed_leaves_no_half_machine_and_the_next_one_completes_it(
    server, expected, tmp_path, where, count
):
    child = start(server, tmp_path, where, count)
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    fan = tmp_path / "dcase2025t2" / "dev_data" / "raw" / "fan"
    if fan.exists():
        assert {f"dev_data/raw/fan/{name}": content for name, content in tree(fan).items()} == (
            expected
        )
    assert not (tmp_path / "dcase2025t2" / "downloads" / "dev_fan.zip.json").exists()
    server.asked.clear()
    done = bring(server, tmp_path)
    assert tree(done.root) == expected
    requests = server.asked_for("content")
    if where == "fetch":
        assert [asked.range for asked in requests] == [f"bytes={10 * (1 << 16)}-"]
    else:
        assert requests == []  # the archive was whole
    assert not list(done.root.rglob("*.zip"))


def test_two_processes_at_once_fetch_each_archive_once(server, expected, tmp_path):
    server.pause = 0.005
    children = [start(server, tmp_path) for _ in range(2)]
    assert [child.communicate(timeout=30)[0].strip() for child in children] == ["whole"] * 2
    assert len(server.asked_for("content")) == 1
    assert tree(tmp_path / "dcase2025t2") == expected


def test_one_waits_for_the_other_and_says_so(server, expected, tmp_path, told):
    reached, done = threading.Event(), []

    def slow(title):
        reached.set()
        time.sleep(0.5)
        return lambda *_: None

    first = threading.Thread(target=lambda: bring(server, tmp_path, progress=slow))
    first.start()
    assert reached.wait(5)
    done.append(bring(server, tmp_path))
    first.join()
    assert any("another process works on it" in message for message in told.messages)
    assert done[0].fetched == ()
    assert tree(tmp_path / "dcase2025t2") == expected


@pytest.fixture
def run_command():
    app = typer.Typer()
    app.command()(download_command)
    return lambda *arguments, **settings: CliRunner().invoke(app, list(arguments), **settings)


def test_the_command_names_the_next_step(server, tmp_path, run_command, told):
    found = run_command(
        *["--year", "2025", "--part", "dev", "--machine", "fan", "--out", str(tmp_path)],
        env={"FIRSTSHOT_RECORDS_URL": server.url},
    )
    assert found.exit_code == 0, found.output
    root = tmp_path / "dcase2025t2"
    assert (
        f"{root}: archives fetched: 1, there before: 0\nnext: firstshot dcase check {root}\n"
        in (found.stdout)
    )
    assert "unpacking dev_fan.zip (1 of 1)" in told.messages


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on this system")
def test_in_a_terminal_the_command_draws_bytes_and_lines_beside_them(server, tmp_path):
    import pty

    server.pause = 0.02  # long enough to be drawn
    server.faults["dev_fan.zip"] = [Fault(status=503, headers={"Retry-After": "0"})]
    ours, theirs = pty.openpty()
    arguments = {"year": 2025, "part": ["dev"], "machine": ["fan"], "api": server.url}
    code = (
        "from pathlib import Path; from firstshot.cli.challenge.download import download; "
        "from firstshot.cli.printing.notices import show_notices; show_notices(); "
        f"download(**{arguments!r}, out=Path({str(tmp_path)!r}))"
    )
    environment = {**os.environ, "no_proxy": "127.0.0.1", "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment) as child:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
            while chunk := os.read(ours, 1 << 16):
                drawn += chunk
    os.close(ours)
    assert child.returncode == 0, drawn.decode()
    assert b"archives to fetch: 1" in drawn
    assert b"trying again in 0 s" in drawn
    assert b"dev_fan.zip (1 of 1)" in drawn
    assert b"MB" in drawn


def test_the_command_fails_with_an_error_that_has_a_name(server, tmp_path, run_command):
    found = run_command(
        *["--year", "2025", "--machine", "fridge", "--out", str(tmp_path), "--api", server.url]
    )
    assert isinstance(found.exception, ParameterError)
    found = run_command("--year", "2025", "--api", "ftp://x", "--out", str(tmp_path))
    assert isinstance(found.exception, FirstshotError)
    assert "expected an address such as https://zenodo.org/api/records" in str(found.exception)


@pytest.mark.parametrize("tail", ["", "/", "/api", "/api/records", "/api/records/"])
def test_the_service_may_be_named_with_or_without_its_path(tail):
    connection = Connection("https://mirror.example" + tail)
    assert connection.record_url(5) == "https://mirror.example/api/records/5"
