"""The detector file `*.firstshot`: what it holds, how it is written, read and verified."""

from firstshot.detector.file.archive import (
    SCHEMA,
    is_detector_file,
    read_detector_file,
    write_detector_file,
)
from firstshot.detector.file.mapped import MappedFile, check_unwritten
from firstshot.detector.file.members import MemberRow, Origin

__all__ = [
    "SCHEMA",
    "MappedFile",
    "MemberRow",
    "Origin",
    "check_unwritten",
    "is_detector_file",
    "read_detector_file",
    "write_detector_file",
]
