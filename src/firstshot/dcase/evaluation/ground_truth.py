"""The evaluator's ground-truth folder becomes labels and domains per section.

``ground_truth_data/ground_truth_<machine>_section_<SS>_test.csv`` holds clip name and label (1
anomalous), ``ground_truth_domain/`` under the same name clip name and domain (1 target),
``ground_truth_attributes/`` clip name and labelled name, without header. 2021 has
``ground_truth_data`` only, a file for each domain (``..._section_<SS>_<domain>_test.csv``). A
submission can use either name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.evaluation.score_files import read_decisions, read_rows
from firstshot.disk.files import without_links
from firstshot.disk.listing import is_folder, list_files, why_closed, why_no_file
from firstshot.errors import DatasetError, warn

_FILE = re.compile(
    r"ground_truth_(?P<machine>.+)_section_(?P<section>\d{2})"
    r"(?:_(?P<domain>source|target))?_test\.csv"
)
_LABELLED = re.compile(r"section_\d+_(?P<domain>source|target)_(?:test_)?(?P<label>normal|anomaly)")


@dataclass(frozen=True)
class SectionTruth:
    """Labels (0, 1) and domains of a section's test clips, in the truth file's order.

    `only_domain` is set if each domain of the section has its own file (2021). `plain_names` maps a
    labelled clip name, as ``section_00_source_test_normal_0063_noAttribute.wav``, to the plain one.
    """

    machine: str
    section: str
    clips: tuple[str, ...]
    labels: NDArray[np.int64]
    domains: tuple[str, ...]
    only_domain: str | None = None
    plain_names: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the section, as `fan_section_00`."""
        return f"{self.machine}_section_{self.section}"


def read_truth(folder: Path) -> list[SectionTruth]:
    """Read every section's truth below `folder`, sorted by machine, section and domain.

    `folder` holds ``ground_truth_data``, is that folder, or has exactly one such folder somewhere
    below it. Raises DatasetError naming the file and what is wrong with it.
    """
    root = _truth_root(folder)
    paths = sorted((root / "ground_truth_data").glob("*.csv"))
    if not paths:
        raise DatasetError(f"{root / 'ground_truth_data'} holds no CSV file; is it unpacked?")
    return [_read_section(root, path) for path in paths]


def _truth_root(folder: Path) -> Path:
    """Find the folder that holds ground_truth_data."""
    why = why_closed(folder) if is_folder(folder) else why_no_file(folder) or "is no folder"
    if why:
        raise DatasetError(f"truth folder {folder} {why}")
    if (folder / "ground_truth_data").is_dir():
        return folder
    if without_links(folder).name == "ground_truth_data":
        return without_links(folder).parent
    found = sorted(path.parent for path in folder.rglob("ground_truth_data") if path.is_dir())
    if len(found) > 1:
        raise DatasetError(
            f"{folder} holds the truth of several challenges: "
            f"{', '.join(str(path.relative_to(folder)) for path in found)}; name one of them"
        )
    if not found:
        hint = (
            "; the list of 2020 is not supported" if any(folder.rglob("eval_data_list.csv")) else ""
        )
        closed = "".join(f"; {place.path} {place.why}" for place in list_files(folder).unlisted[:1])
        raise DatasetError(f"{folder} holds no folder ground_truth_data{hint}{closed}")
    return found[0]


def _read_section(root: Path, path: Path) -> SectionTruth:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise DatasetError(
            f"{path}: the name is not ground_truth_<machine>_section_<SS>[_<domain>]_test.csv"
        )
    labels = read_decisions(path)
    only_domain = match["domain"]
    if only_domain:
        domains = (only_domain,) * len(labels.clips)
    else:
        domains = _read_domains(root / "ground_truth_domain" / path.name, labels.clips)
    section = SectionTruth(
        machine=match["machine"],
        section=match["section"],
        clips=labels.clips,
        labels=labels.values.astype(np.int64),
        domains=domains,
        only_domain=only_domain,
        plain_names=_read_plain_names(root / "ground_truth_attributes" / path.name),
    )
    _warn_of_disagreement(section)
    return section


def _read_domains(path: Path, clips: tuple[str, ...]) -> tuple[str, ...]:
    table = read_decisions(path)
    of_clip = dict(zip(table.clips, table.values, strict=True))
    for clip in clips:
        if clip not in of_clip:
            raise DatasetError(f"{path}: clip {clip!r} of ground_truth_data is missing")
    return tuple("target" if of_clip[clip] else "source" for clip in clips)


def _read_plain_names(path: Path) -> dict[str, str]:
    """Map labelled to plain names, without a labelled name that two clips share."""
    if not path.is_file():
        return {}
    rows = read_rows(path)
    # 2022's copies have a header, and the labelled name in the last column.
    has_header = bool(rows) and rows[0][:1] == ["file_name"]
    plain_names: dict[str, str] = {}
    ambiguous: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if has_header and number == 1:
            continue
        if len(row) < 2:
            raise DatasetError(f"{path}, row {number}: expected a clip name and a labelled name")
        labelled = (row[-1] if has_header else row[1]).removesuffix(".wav") + ".wav"
        if plain_names.setdefault(labelled, row[0]) != row[0]:
            ambiguous.add(labelled)
    return {name: plain for name, plain in plain_names.items() if name not in ambiguous}


def _warn_of_disagreement(section: SectionTruth) -> None:
    """Warn of labelled names that contradict the truth, as those of 2022's toys do."""
    truth = dict(zip(section.clips, zip(section.labels, section.domains, strict=True), strict=True))
    wrong = 0
    for labelled, plain in section.plain_names.items():
        match = _LABELLED.match(labelled)
        if match and plain in truth:
            said = (int(match["label"] == "anomaly"), match["domain"])
            wrong += said != truth[plain]
    if wrong:
        warn(
            f"{section.name}: the labelled names contradict ground_truth_data or "
            f"ground_truth_domain for {wrong} of {len(section.clips)} clips; the latter two count",
        )
