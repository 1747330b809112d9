"""A small year on local stand-ins of the archive service and of the weights' hub."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

from tests.dcase.record_server import RecordServer
from tests.encoders import official_files as official
from tests.encoders.hub_server import Hub, serving

from firstshot.dcase.data import archives
from firstshot.encoders.weights.catalog import ENCODERS, WebFile
from firstshot.sound.synth.dataset import write_dataset

RECORD = 15097779
"""The development set of 2025."""
MACHINES = {"fan": "SynthFan", "valve": "SynthValve"}
CED = "mispeech/ced-tiny/model.safetensors"


def zipped(folder: Path, machine: str) -> bytes:
    """Return a machine's folder as its archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*_00_*.wav")):
            archive.write(path, f"{machine}/{path.relative_to(folder).as_posix()}")
    return packed.getvalue()


@pytest.fixture(scope="session")
def year_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The archives of two machines with half-second clips, 24 normal and 8 test clips each."""
    folder = tmp_path_factory.mktemp("year")
    sizes = {"train_source": 20, "train_target": 4, "test_per_class": 2}
    write_dataset(folder, [*MACHINES.values()], 0, 0.5, **sizes)
    return {f"dev_{name}.zip": zipped(folder / synth, name) for name, synth in MACHINES.items()}


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CED tiny as the hub has it, its weights made up."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return official.write_content(official.ced_hub("ced_tiny"), path)


@pytest.fixture
def records(
    year_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RecordServer]:
    """The archive service; 2025 has two machines."""
    small = replace(archives._YEARS[2025], dev_machines=tuple(MACHINES))
    monkeypatch.setitem(archives._YEARS, 2025, small)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with RecordServer({RECORD: dict(year_files)}) as server:
        yield server


@pytest.fixture
def hub(weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, which has CED tiny only, and an empty cache of one's own."""
    for variable in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub-cache"))
    with serving({CED: weights_file.read_bytes()}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        # No test asks GitHub: the release lies on this server, which does not have it.
        record = ENCODERS["efficientat_mn04"]
        release = {name: WebFile(f"{server.url}/release.pt") for name in record.files}
        monkeypatch.setitem(ENCODERS, record.name, replace(record, files=release))
        yield server
