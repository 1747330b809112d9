"""A data set on disk becomes a report: what is there, what is missing, what is unusual.

Input: a root as `read_layout` takes it. Output: a count per section and a list of findings. Only
headers are read, and enough bytes to compare clips that look the same: NaN and infinite samples
are found by `dcase run` only.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstshot.dcase.data.clip_names import read_attributes
from firstshot.dcase.data.layout import Layout, MachineSection, scan_layout
from firstshot.dcase.data.machine_folder import ClipRecord
from firstshot.domains import DOMAINS
from firstshot.errors import DatasetError, SoundError
from firstshot.messages import show_text
from firstshot.progress import Progress
from firstshot.sound.audio_file import open_audio_file
from firstshot.sound.checks import SHORTEST_SECONDS

_SAMPLE_BYTES = 8192


@dataclass(frozen=True)
class Finding:
    """One fact about the data set: `level` is "fault" (a run would fail) or "odd" (it would not).

    `where` names the file, folder or section; `what` describes the problem.
    """

    level: str
    where: str
    what: str


@dataclass(frozen=True)
class SectionCounts:
    """Counts of one section; `test` counts (domain, label) pairs, None if unknown."""

    machine: str
    section: str
    train: dict[str | None, int]
    test: dict[tuple[str | None, int | None], int]
    supplemental: dict[str | None, int]
    sample_rates: tuple[int, ...]
    channels: tuple[int, ...]
    seconds: tuple[float, float] | None


@dataclass(frozen=True)
class CheckReport:
    """Result of a check; `ok` means that a run on this data set finds everything it needs."""

    root: Path
    sections: tuple[SectionCounts, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding would make a run fail."""
        return bool(self.sections) and all(finding.level != "fault" for finding in self.findings)

    def table(self) -> list[tuple[str, ...]]:
        """Return a header and a row of text per section."""
        return [_HEADER, *(_row(counts) for counts in self.sections)]

    def lines(self) -> list[str]:
        """Return the findings and the verdict as plain text, a line each."""
        text = [f"{finding.level}: {finding.where}: {finding.what}" for finding in self.findings]
        two = [counts for counts in self.sections if counts.channels == (2,)]
        if two:
            noise = sum(counts.supplemental.get("noise", 0) > 0 for counts in two)
            text.append(
                f"two channels in {len(two)} sections: 0 is near the machine and 1 far, as in "
                "2026; a run takes channel 0, and --channel near-far subtracts the far one "
                f"(with --far-noise supplemental in {noise} of them)"
            )
        counts = Counter(finding.level for finding in self.findings)
        verdict = "complete" if self.ok else "cannot be run as it is"
        text.append(f"{self.root}: {verdict}; {counts['fault']} faults, {counts['odd']} oddities")
        return [show_text(line) for line in text]


_HEADER = (
    "machine",
    "section",
    "train source",
    "train target",
    "test source normal/anomaly",
    "test target normal/anomaly",
    "test unlabelled",
    "clean/noise",
    "Hz",
    "channels",
    "seconds",
)


def check(
    root: Path,
    machines: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Check a data set; a fault of one file becomes a finding, never an exception.

    Parameters
    ----------
    root : Path
        As for `read_layout`.
    machines : sequence of str or None
        Check these machines only.
    progress : callable or None
        Called after each clip with the clips done and their total.

    Raises
    ------
    DatasetError
        There is no such folder, or no machine in it.

    Examples
    --------
    >>> CheckReport(Path("data"), (), ()).lines()[-1]
    'data: cannot be run as it is; 0 faults, 0 oddities'
    """
    layout = scan_layout(root, machines)
    findings = [
        Finding("fault" if file.refused else "odd", str(file.path), file.why)
        for file in layout.unused
    ]
    findings += _find_attribute_oddities(layout)
    total, done = sum(len(section.clips) for section in layout.sections), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    counts = [_check_section(section, findings, step) for section in layout.sections]
    findings += [
        Finding("fault", str(folder), "no clips in this machine's folders")
        for folder in layout.empty
    ]
    return CheckReport(root, tuple(counts), tuple(findings))


def _check_section(
    section: MachineSection, findings: list[Finding], step: Callable[[], None]
) -> SectionCounts:
    """Count a section and add to the findings; `step` is called after each clip."""
    headers: list[tuple[int, int, float]] = []
    readable: list[ClipRecord] = []
    for clip in section.clips:
        header = read_clip_header(clip.path)
        if isinstance(header, str):
            findings.append(Finding("fault", str(clip.path), header))
        else:
            headers.append(header)
            readable.append(clip)
        step()
    counts = _count(section, headers)
    findings += _find_gaps(section)
    findings += _find_mixed_headers(counts)
    findings += _find_duplicates(readable)
    return counts


def read_clip_header(path: Path) -> tuple[int, int, float] | str:
    """Return sample rate, channels and seconds of a file, or why a run cannot use it.

    >>> read_clip_header(Path("no.wav"))
    'does not exist; name an audio file (WAV, FLAC, OGG or MP3), or a folder of them'
    """
    try:
        with open_audio_file(path) as file:
            rate, channels, frames = file.rate, file.channels, file.frames
    except SoundError as error:
        return str(error).removeprefix(f"{path}: ")
    if frames == 0:
        return "a sound file without a sample"
    if frames < SHORTEST_SECONDS * rate:
        return f"shorter than {SHORTEST_SECONDS} s"
    return rate, channels, frames / rate


def _count(section: MachineSection, headers: list[tuple[int, int, float]]) -> SectionCounts:
    seconds = [length for _, _, length in headers]
    return SectionCounts(
        machine=section.machine,
        section=section.section,
        train=dict(Counter(clip.domain for clip in section.train)),
        test=dict(Counter((clip.domain, clip.label) for clip in section.test)),
        supplemental=dict(Counter(clip.kind for clip in section.supplemental)),
        sample_rates=tuple(sorted({rate for rate, _, _ in headers})),
        channels=tuple(sorted({channels for _, channels, _ in headers})),
        seconds=(min(seconds), max(seconds)) if seconds else None,
    )


def _row(counts: SectionCounts) -> tuple[str, ...]:
    """Return the cells of one row; clips without a domain count as source, as 2020 has none."""

    def tested(domain: str | None, label: int | None) -> int:
        return counts.test.get((domain, label), 0)

    source = [tested("source", label) + tested(None, label) for label in (0, 1)]
    target = [tested("target", label) for label in (0, 1)]
    unlabelled = sum(tested(domain, None) for domain in (*DOMAINS, None))
    low, high = counts.seconds or (0.0, 0.0)
    return (
        counts.machine,
        counts.section,
        str(counts.train.get("source", 0) + counts.train.get(None, 0)),
        str(counts.train.get("target", 0)),
        f"{source[0]}/{source[1]}",
        f"{target[0]}/{target[1]}",
        str(unlabelled),
        f"{counts.supplemental.get('clean', 0)}/{counts.supplemental.get('noise', 0)}",
        ",".join(map(str, counts.sample_rates)) or "-",
        ",".join(map(str, counts.channels)) or "-",
        f"{low:.2f}" if round(low, 2) == round(high, 2) else f"{low:.2f}-{high:.2f}",
    )


def _find_gaps(section: MachineSection) -> Iterable[Finding]:
    """Yield what a section lacks: clips, domains, labels, the kind of supplemental clips."""
    where = f"{section.machine} section {section.section}"
    domains = {clip.domain for clip in section.train}
    if not section.train:
        yield Finding("fault", where, "no training clips")
    elif len(section.train) == 1:
        yield Finding("fault", where, "one training clip, where two at least are needed")
    elif domains != {None} and "target" not in domains:
        yield Finding("odd", where, "no target training clips; all are taken as one domain")
    elif domains != {None} and "source" not in domains:
        yield Finding("fault", where, "no source training clips")
    if len(domains) > 1 and None in domains:
        yield Finding("odd", where, "some training clips have no domain in their names")
    labels = {clip.label for clip in section.test}
    if not section.test:
        yield Finding("fault", where, "no test clips")
    elif labels == {None}:
        yield Finding("odd", where, "test clips are unlabelled: scores, but no metrics")
    elif None in labels:
        yield Finding("odd", where, "some test clips are labelled and some are not")
    elif len(labels) == 1:
        yield Finding("odd", where, "test clips are all normal or all anomalous: no AUC")
    unknown = sum(clip.kind is None for clip in section.supplemental)
    if unknown:
        yield Finding("odd", where, f"{unknown} supplemental clips name neither noise nor machine")


def _find_mixed_headers(counts: SectionCounts) -> Iterable[Finding]:
    where = f"{counts.machine} section {counts.section}"
    if len(counts.sample_rates) > 1:
        yield Finding("odd", where, f"clips of several sample rates {counts.sample_rates} Hz")
    if len(counts.channels) > 1:
        yield Finding("odd", where, f"clips of several channel counts {counts.channels}")
    if counts.seconds is not None and counts.seconds[0] < counts.seconds[1]:
        low, high = counts.seconds
        yield Finding("odd", where, f"clips of unequal length, {low:.3f} to {high:.3f} s")


def _find_duplicates(clips: Sequence[ClipRecord]) -> Iterable[Finding]:
    """Yield the clips of a section that are byte-equal to an earlier one."""
    alike: dict[tuple[int, bytes], list[ClipRecord]] = defaultdict(list)
    for clip in clips:
        with clip.path.open("rb") as file:
            alike[clip.path.stat().st_size, file.read(_SAMPLE_BYTES)].append(clip)
    for group in alike.values():
        first: dict[bytes, ClipRecord] = {}
        for clip in group if len(group) > 1 else ():
            with clip.path.open("rb") as file:
                same = first.setdefault(hashlib.file_digest(file, "sha256").digest(), clip)
            if same is not clip:
                what = f"byte-equal to the {same.split} clip {same.path}"
                yield Finding("odd", str(clip.path), what)


def _find_attribute_oddities(layout: Layout) -> Iterable[Finding]:
    """Yield attribute tables that are missing, lack clips, or name clips that do not exist."""
    by_folder: dict[Path, set[str]] = defaultdict(set)
    for section in layout.sections:
        for clip in (*section.train, *section.test):
            by_folder[clip.path.parent.parent].add(clip.path.stem)
    for folder, stems in by_folder.items():
        tables = sorted(folder.glob("attributes_*.csv"))
        if not tables:
            what = "no attributes_*.csv; attributes are taken from the names"
            yield Finding("odd", str(folder), what)
            continue
        try:
            rows = [row for table in tables for row in read_attributes(table)]
        except DatasetError:
            continue  # the layout reader reports it
        absent, extra = stems - set(rows), set(rows) - stems
        for names, what in ((absent, "clips are not in"), (extra, "names without a clip are in")):
            if names:
                where = tables[0].name if len(tables) == 1 else "attributes_*.csv"
                text = f"{len(names)} {what} {where}, such as {min(names)}"
                yield Finding("odd", str(folder), text)
