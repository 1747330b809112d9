"""The options of `fit` and `dcase run` are one table, and the table is all that there is to set."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from typer.main import get_command

from firstshot.cli import app
from firstshot.cli.settings import SETTINGS, read_layers, read_settings
from firstshot.dcase.running.system import System
from firstshot.detector import Detector
from firstshot.errors import ParameterError
from firstshot.scoring.normalizers import NORMALIZERS, default_parameters

DEFAULTS = {name: default_parameters(name) for name in NORMALIZERS}
COMMANDS: Any = get_command(app)
COMMANDS_WITH_SETTINGS = {
    "fit": COMMANDS.commands["fit"],
    "dcase run": COMMANDS.commands["dcase"].commands["run"],
}
OF_ENCODERS = {"encoder", "layers", "encoder_settings"}
"""Arguments of `Detector` that a system file has under [[encoders]]."""


def arguments() -> set[str]:
    return {setting.argument.partition(".")[0] for setting in SETTINGS}


def test_every_argument_of_a_detector_is_an_option() -> None:
    constructor = {field.name for field in fields(Detector) if field.init}
    # The command line reads files, which tell their rate; arrays do not.
    assert arguments() == constructor - {"sample_rate"}


def test_every_field_of_a_system_file_is_an_option() -> None:
    named = {"name", "description", "encoders"}
    assert arguments() - OF_ENCODERS == System.model_fields.keys() - named


def test_every_parameter_of_a_normaliser_is_an_option() -> None:
    # The others' parameters are given by name, see `normalizer_settings.*`.
    reported = NORMALIZERS[:5]
    parameters = {name for normalizer in reported for name in DEFAULTS[normalizer]}
    assert {f"normalizer_settings.{name}" for name in parameters} <= {s.argument for s in SETTINGS}


def test_the_default_that_help_tells_is_the_one_of_the_detector() -> None:
    defaults = {field.name: field.default for field in fields(Detector)}
    for setting in SETTINGS:
        if setting.default is not None:
            assert defaults[setting.argument] == setting.default


def test_the_numbers_of_neighbours_that_help_tells_are_those_of_the_normalisers() -> None:
    told = {setting.name: setting.help for setting in SETTINGS}
    for name, number in DEFAULTS["domain_local_density"].items():
        assert told[name].endswith(f"Default: {number}.")
    assert "Default: 16 for local_density, 2 for density, otherwise 1." in told["k"]
    for name, defaults in DEFAULTS.items():
        assert defaults.get("k", 1) == {"local_density": 16, "density": 2}.get(name, 1)


@pytest.mark.parametrize("command", COMMANDS_WITH_SETTINGS)
def test_both_commands_have_every_option(command: str) -> None:
    options = {flag for option in COMMANDS_WITH_SETTINGS[command].params for flag in option.opts}
    assert {f"--{setting.name.replace('_', '-')}" for setting in SETTINGS} <= options


def test_options_of_a_run_tell_no_default_because_the_system_file_has_it() -> None:
    names = {setting.name for setting in SETTINGS}
    for option in COMMANDS_WITH_SETTINGS["dcase run"].params:
        if option.name in names:
            assert "Default" not in option.help


def test_what_is_not_given_is_not_set() -> None:
    assert read_settings({setting.name: None for setting in SETTINGS}) == {}


def test_every_option_reaches_the_detector(normal: dict[str, Path], tmp_path: Path) -> None:
    options = (
        "--encoder logmel --layers 1,2 --pooling temporal --combine concat --keep-level "
        "--transform whiten --metric euclidean --normalizer domain_local_density --k-source 4 "
        "--k-target 3 --length windows:0.5 --channel 0 --threshold quantile "
        "--false-alarm-rate 0.2 --bank-precision float16 --no-memmixup"
    )
    out = tmp_path / "fan.firstshot"
    words = ["fit", str(normal["source"]), "--target", str(normal["target"]), "-o", str(out)]
    done = CliRunner().invoke(COMMANDS, [*words, "--no-store", *options.split()])
    assert done.exit_code == 0, done.output
    detector = Detector.load(out)
    assert (detector.layers, detector.pooling, detector.combine) == ((1, 2), "temporal", "concat")
    assert detector.encoder_settings == {"keep_level": True}
    assert (detector.transform, detector.metric) == ("whiten", "euclidean")
    assert detector.normalizer_settings == {"k_source": 4, "k_target": 3}
    assert (str(detector.length), detector.channel) == ("windows:0.5", 0)
    assert (detector.threshold_.method, detector.threshold_.false_alarm_rate) == ("quantile", 0.2)
    assert (detector.bank_precision, detector.memmixup) == ("float16", False)


def test_a_run_keeps_what_the_command_line_changed(dataset: Path, tmp_path: Path) -> None:
    words = f"dcase run {dataset} --machine SynthFan --no-store --out {tmp_path / 'run'} -q"
    options = (
        "--normalizer local_density --k 5 --metric euclidean --encoder-setting keep_level=true"
    )
    done = CliRunner().invoke(COMMANDS, [*words.split(), *options.split()])
    assert done.exit_code == 0, done.output
    kept = json.loads((tmp_path / "run" / "results.json").read_text())["settings"]
    assert (kept["normalizer"], kept["normalizer_settings"]) == ("local_density", {"k": 5})
    assert kept["metric"] == "euclidean"
    assert kept["encoders"][0]["settings"] == {"keep_level": True}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--layers 1;2", "layers '1;2': expected numbers such as 7,10 or -2,-1"),
        ("--channel left", "channel 'left': expected a number from 0 on, 'mean' or 'near-far'"),
        ("--encoder-setting keep_level", "setting 'keep_level': expected NAME=VALUE"),
        ("--encoder-setting louder=1", "louder"),
        ("--k 3", "domain_local_density has no parameter 'k'; it takes k_source, k_target"),
        ("--k-source 0", "k_source=0 cannot be used"),
        ("--normaliser none", "--normalizer"),
        ("--encoder logmell", "(did you mean 'logmel'?)"),
        ("--normalizer local_densty", "(did you mean 'local_density'?)"),
        ("--metric cosin", "(did you mean 'cosine'?)"),
        ("--transform standardise", "(did you mean 'standardize'?)"),
        ("--pooling temporel", "(did you mean 'temporal'?)"),
        ("--combine score-mean", "(did you mean 'score_mean'?)"),
        ("--threshold gama", "(did you mean 'gamma'?)"),
    ],
)
def test_a_bad_option_is_one_line_that_says_what_is_expected(
    firstshot: Any, normal: dict[str, Path], tmp_path: Path, options: str, said: str
) -> None:
    out = tmp_path / "fan.firstshot"
    done = firstshot("fit", normal["source"], "-o", out, "--no-store", *options.split())
    assert done.returncode == 2
    assert said in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("text", ["1_0", "\u0661", "+1", "1.0", "--1", ""])
def test_only_plain_digits_write_a_layer(text):
    with pytest.raises(ParameterError, match="expected numbers such as 7,10 or -2,-1"):
        read_layers(text)
    assert read_layers("7, -1") == (7, -1)
