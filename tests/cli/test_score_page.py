"""`firstshot score --page`: a page of one's own clips, written whole or not at all."""

from __future__ import annotations

import shutil

import pytest


def test_the_page_is_written_beside_the_table(firstshot, detector, normal, test_clips, tmp_path):
    page = tmp_path / "new" / "today.html"
    words = ["score", detector, test_clips, "--page", page]
    done = firstshot(*words, "--normal", normal["source"], "--normal", normal["target"])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"the page: {page}" in done.stdout
    text = page.read_text(encoding="utf-8")
    clips = sorted(path.name for path in test_clips.iterdir())
    assert all(text.count(f">{clip}: score") == 2 for clip in clips)
    assert str(test_clips) in text
    assert text.count("<audio") == 24  # twelve clips, each with its nearest normal clip
    plain = firstshot("score", detector, test_clips)
    assert plain.stdout == done.stdout.replace(f"the page: {page}\n", "")


def test_scores_do_not_depend_on_the_page(firstshot, detector, test_clips, tmp_path):
    words = ["score", detector, test_clips, "--format", "csv"]
    done = firstshot(*words, "--page", tmp_path / "a.html", "--fail-on-anomaly")
    assert done.returncode == 1
    assert done.stdout == firstshot(*words).stdout
    assert done.stderr == f"the page: {tmp_path / 'a.html'}\n"


def test_only_a_page_of_the_same_command_is_replaced(firstshot, detector, test_clips, tmp_path):
    page, other = tmp_path / "a.html", tmp_path / "report.html"
    other.write_text("<title>Clips judged by fan.firstshot</title>")
    clip = min(test_clips.iterdir())
    assert firstshot("score", detector, clip, "--page", page).returncode == 0
    before = page.read_bytes()
    refused = firstshot("score", detector, clip, "--page", page)
    assert refused.returncode == 2
    assert "is there already; choose another name, or add --overwrite" in refused.stderr
    assert page.read_bytes() == before
    assert firstshot("score", detector, clip, "--page", page, "--overwrite").returncode == 0
    foreign = firstshot("score", detector, clip, "--page", other, "--overwrite")
    assert foreign.returncode == 2
    assert "is no page of scored clips and is not replaced" in foreign.stderr
    assert other.read_text().startswith("<title>")


def test_clips_that_cannot_be_read_are_on_the_page_too(firstshot, detector, test_clips, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(min(test_clips.iterdir()), folder / "a.wav")
    (folder / "b.wav").write_bytes(b"RIFF")
    done = firstshot("score", detector, folder, "--page", tmp_path / "a.html")
    assert done.returncode == 2
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "1 could not be read and is not shown below" in text
    (folder / "a.wav").unlink()
    assert firstshot("score", detector, folder, "--page", tmp_path / "none.html").returncode == 2
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--normal", "{here}"], "is for the page only; add --page FILE"),
        (["--page", "{here}/a.html", "--normal", "{here}/gone"], "no such folder"),
        (["--page", "{here}"], "is a folder; name a file, such as"),
    ],
)
def test_a_page_that_cannot_be_made_is_refused_first(
    firstshot, detector, test_clips, tmp_path, words, named
):
    done = firstshot("score", detector, test_clips, *(w.format(here=tmp_path) for w in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
