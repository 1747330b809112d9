"""A pickle that wants to run code is refused as that, whatever form it has, and is not run."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.encoders import official_files as official  # noqa: E402

from firstshot.encoders.weights.files import read_checkpoint  # noqa: E402
from firstshot.encoders.weights.pickled_code import find_code, is_pickle_with_code  # noqa: E402
from firstshot.errors import WeightsError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")


class _Runs:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def evil(witness: Path) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Objects that would make a file, and the names that pickles of old and new protocols hold."""
    touch = f"touch {witness}"
    return {
        "system": (_Runs(os.system, touch), ("posix.system",)),
        "eval": (_Runs(eval, "1"), ("builtins.eval", "__builtin__.eval")),
        "exec": (
            _Runs(exec, f"open({str(witness)!r}, 'w')"),
            ("builtins.exec", "__builtin__.exec"),
        ),
        "popen": (_Runs(subprocess.Popen, ["touch", str(witness)]), ("Popen",)),
        "torch": (_Runs(torch.load, str(witness)), ("torch.serialization.load",)),
    }


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path, "ADVICE")
    message = str(caught.value)
    assert message.startswith(f"{path}: a pickle that holds more than tensors ("), message
    assert "which is code that would run on loading; it was not run" in message
    assert "take the published safetensors file" in message
    assert message.endswith("ADVICE")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["system", "eval", "exec", "popen", "torch"])
@pytest.mark.parametrize("form", ["zip", "old", *range(6)])
def test_code_is_named_in_every_form_of_a_pickle(
    kind: str, form: str | int, tmp_path: Path
) -> None:
    witness, path = tmp_path / "ran", tmp_path / "model.pt"
    harm, names = evil(witness)[kind]
    content = {"model": {"weight": torch.ones(3)}, "x": harm}
    if isinstance(form, int):
        path.write_bytes(pickle.dumps({"x": harm}, protocol=form))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    message = refusal(path)
    assert any(name in message for name in names)
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"(S'true'\niposix\nsystem\n.",
        b"(cposix\nsystem\nS'true'\no.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x04true\x85R.",
        b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R",  # without an end
    ],
)
def test_code_is_named_in_pickles_written_by_hand(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert "(posix.system)" in refusal(path)


def test_many_names_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    pickled = b"(" + b"".join(b"cmodule%d\nname\n" % i for i in range(10)) + b"t."
    path.write_bytes(b"\x80\x02" + pickled)
    assert "(module0.name, module1.name, module2.name and 7 more)" in refusal(path)


@pytest.mark.parametrize("new", [True, False])
def test_tensors_and_plain_containers_name_no_code(new: bool, tmp_path: Path) -> None:
    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64)
    content = {
        "tensors": {str(kind): torch.ones(3, dtype=kind) for kind in kinds},
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "size": torch.Size([1, 2]),
        "kind": torch.float64,
        "device": torch.device("cpu"),
        "module": torch.nn.Linear(2, 2).state_dict(),
    }
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=new)
    assert find_code(tmp_path / "model.pt") == ()
    read_checkpoint(tmp_path / "model.pt", "ADVICE")


@pytest.mark.parametrize("name", list(official.MINI))
def test_the_published_formats_name_no_code(name: str, tmp_path: Path) -> None:
    for form in official.FORMATS[official.MINI[name].spec.family]:
        assert find_code(official.write(name, tmp_path, form)) == ()


def test_what_training_leaves_is_named_too(tmp_path: Path) -> None:
    torch.save({"args": argparse.Namespace(lr=1e-3)}, tmp_path / "model.pt")
    assert find_code(tmp_path / "model.pt") == ("argparse.Namespace",)


@pytest.mark.parametrize(
    "content",
    [
        b"clip,score\nfan,1\n",
        b"RIFF....WAVEfmt ",
        b"",
        b"c",
        b"(((((",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x02\x8d" + b"\xff" * 8 + b"x",
        b"h\x05.",
        b"PK\x03\x04",
    ],
)
def test_other_content_is_no_pickle_with_code(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not is_pickle_with_code(tmp_path / "file")
    assert find_code(tmp_path / "file") == ()


def test_a_plain_pickle_that_torch_does_not_read_is_not_said_to_hold_code(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"x": 1.0}, protocol=4))
    with pytest.raises(WeightsError, match=r"damaged \(Unsupported operand 149\)"):
        read_checkpoint(tmp_path / "model.pt", "ADVICE")


def test_a_torchscript_program_is_named_and_not_run(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("model/data.pkl", "model/constants.pkl", "model/code/__torch__.py"):
            archive.writestr(name, b"\x80\x02).")
    (tmp_path / "model.pt").write_bytes(content.getvalue())
    with pytest.raises(WeightsError, match="a TorchScript program, which is code; it was not run"):
        read_checkpoint(tmp_path / "model.pt", "ADVICE")


def test_compressed_entries_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(100_000)}, tmp_path / "plain.pt")
    plain = zipfile.ZipFile(tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    with pytest.raises(WeightsError, match="holds compressed entries, which torch never writes"):
        read_checkpoint(tmp_path / "model.pt", "ADVICE")


@pytest.mark.parametrize("new", [True, False])
def test_any_damage_of_a_file_is_one_printable_line(new: bool, tmp_path: Path) -> None:
    """Every third byte, one after the other, is turned over."""
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            read_checkpoint(path, "ADVICE")
        except WeightsError as error:
            assert str(error).isprintable()
            assert str(error).startswith(f"{path}: ")
