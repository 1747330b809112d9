"""Folders of normal clips become the records that networks are trained on; no test clip is read.

Input: roots in the challenge's layout, or folders with a folder of sound for each machine. Output:
a `TrainingClip` per training clip. In the challenge's layout names and tables give section, domain
and attributes; in a machine's plain folder, a clip below a folder `target` is of the target domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firstshot.dcase.data.layout import check_unused, scan_layout
from firstshot.dcase.data.machine_folder import children, is_machine
from firstshot.disk.listing import is_folder, list_files
from firstshot.errors import DatasetError
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES
from firstshot.training.clips import TrainingClip


def list_training_clips(roots: Sequence[Path]) -> list[TrainingClip]:
    """Return the training clips of all machines below the roots.

    Raises
    ------
    DatasetError
        A root holds no machine, a file of the challenge's layout is outside its grammar, a machine
        has no training clip, or two roots hold a machine of one name.
    """
    found: list[TrainingClip] = []
    root_of: dict[tuple[str, str], Path] = {}
    for root in roots:
        clips = _of_machines(root) if _has_plain_machines(root) else _of_layout(root)
        for machine, section in sorted({(clip.machine, clip.section) for clip in clips}):
            if (machine, section) in root_of:
                raise DatasetError(
                    f"{root}: machine {machine} section {section} is in "
                    f"{root_of[machine, section]} as well; rename one of the two, or leave it out"
                )
            root_of[machine, section] = root
        found += clips
    return found


def _of_layout(root: Path) -> list[TrainingClip]:
    layout = scan_layout(root)
    check_unused(root, layout, strict=True)
    for section in layout.sections:
        if not section.train:
            raise DatasetError(
                f"{root}: {section.machine} section {section.section} has no training clips; put "
                f"them into {section.machine}/train, or leave the machine out"
            )
    return [
        TrainingClip(
            clip.path, clip.machine, clip.section, clip.domain or "source", clip.attributes
        )
        for section in layout.sections
        for clip in section.train
    ]


def _has_plain_machines(root: Path) -> bool:
    """Tell whether a root is no data set of the challenge, and has folders with sound in them."""
    if not is_folder(root) or is_machine(root):
        return False
    folders = [folder for folder in children(root) if is_folder(folder)]
    below = [folder for one in folders for folder in (one, *children(one)) if is_folder(folder)]
    return not any(map(is_machine, below)) and any(map(_sounds, folders))


def _sounds(folder: Path) -> list[Path]:
    return [path for path in list_files(folder).files if path.suffix.lower() in AUDIO_SUFFIXES]


def _of_machines(root: Path) -> list[TrainingClip]:
    clips = []
    for folder in children(root):
        for path in _sounds(folder) if is_folder(folder) else ():
            is_target = "target" in path.relative_to(folder).parts[:-1]
            domain = "target" if is_target else "source"
            clips.append(TrainingClip(path, folder.name, domain=domain))
    return clips
