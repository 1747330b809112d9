"""Numbers that make no sense, given to every public function that takes one.

`CALLS` names functions with arguments that they take; a case changes one number of them. What is no
number is left as it is: a wrong type is the caller's own fault and may end in a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.cases import Case, target
from tests.fuzz.mutations import NUMBERS, TEXTS


def _detector(case: Case, **settings: Any) -> None:
    from firstshot.detector import Detector

    numbers = {key: settings.pop(key) for key in ("k_source", "k_target")}
    folder = case.samples / "data" / "fan" / "train"
    fitting = {key: settings.pop(key) for key in ("workers",)}
    Detector(**settings, normalizer_settings=numbers).fit([folder], **fitting)


def _length(case: Case, **numbers: Any) -> None:
    from firstshot.sound.audio import LengthPolicy

    policy = LengthPolicy("windows", numbers["seconds"], numbers["hop_seconds"])
    policy.apply(np.zeros(8000, np.float32), 16000)
    LengthPolicy.parse(str(policy))


def _clip(case: Case, **numbers: Any) -> None:
    from firstshot.sound.audio import load_waveform

    load_waveform(np.ones(8000), **numbers)


def _predict(case: Case, **numbers: Any) -> None:
    from firstshot.detector import Detector

    detector = Detector.load(case.samples / "detectors" / "plain.firstshot")
    detector.calibrate(numbers["false_alarm_rate"], "quantile")
    detector.score([np.ones(16000)], sample_rate=numbers["sample_rate"], workers=numbers["workers"])


def _synthesize(case: Case, **numbers: Any) -> None:
    from firstshot.sound.synth import synthesize

    synthesize("SynthFan", "imbalance", **numbers)


def _data_set(case: Case, **numbers: Any) -> None:
    from firstshot.sound.synth.dataset import write_dataset

    severity = numbers.pop("low"), numbers.pop("high")
    write_dataset(case.folder / "made", ["SynthFan"], severity=severity, **numbers)


def _evaluate(case: Case, **numbers: Any) -> None:
    from firstshot.dcase.evaluation.evaluate import evaluate_scores

    evaluate_scores(case.samples / "run", case.samples / "truth", **numbers)


def _threshold(case: Case, **numbers: Any) -> None:
    from firstshot.scoring.threshold import fit_threshold

    for method in ("gamma", "quantile", "conformal"):
        fit_threshold(np.arange(1.0, 40.0), method, **numbers)


def _normalizer(case: Case, **numbers: Any) -> None:
    from firstshot.scoring.normalizers import make_normalizer

    rows = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    made = make_normalizer("domain_local_density", **numbers)
    made.fit({"source": rows, "target": rows[:5]}).score(rows + 1)


def _bank(case: Case, **numbers: Any) -> None:
    from firstshot.scoring.bank import make_bank, memmixup, merge

    rows = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    source = make_bank(rows, [f"s{i}" for i in range(12)], "source")
    target_bank = make_bank(rows[:3] + 1, ["a", "b", "c"], "target")
    memmixup(merge(source, target_bank), **numbers)


def _complexity(case: Case, **numbers: Any) -> None:
    from firstshot.complexity import complexity, complexity_table

    complexity("beats_ft1", **numbers)
    complexity_table(**numbers)


def _count(case: Case, **numbers: Any) -> None:
    from firstshot.ordered_threads import count_threads, count_workers

    count_threads(numbers["threads"])
    count_workers(numbers["workers"])


def _training(case: Case, **numbers: Any) -> None:
    from firstshot.autoencoder.settings import TrainingSettings

    TrainingSettings(**numbers)


def _prune(case: Case, **numbers: Any) -> None:
    from firstshot.store import EmbeddingStore

    EmbeddingStore(case.folder / "store").prune(**numbers)


def _logmel(case: Case, **numbers: Any) -> None:
    from firstshot.encoders import load_encoder

    encoder = load_encoder("logmel")
    encoder.embed(np.ones((1, 8000), np.float32), numbers["sample_rate"], (numbers["layer"],))
    encoder.grid(numbers["samples"], 1)


CALLS: dict[Callable[..., None], dict[str, Any]] = {
    _detector: {
        "layers": 1, "channel": 0, "false_alarm_rate": 0.1, "k_source": 2, "k_target": 2,
        "workers": 1,
    },
    _length: {"seconds": 0.2, "hop_seconds": 0.1},
    _clip: {"sample_rate": 16000, "source_rate": 8000, "channel": 0},
    _predict: {"false_alarm_rate": 0.1, "sample_rate": 16000, "workers": 1},
    _synthesize: {"severity": 0.5, "seconds": 0.2, "seed": 1},
    _data_set: {
        "seed": 1, "clip_seconds": 0.1, "train_source": 1, "train_target": 0, "test_per_class": 0,
        "low": 0.2, "high": 0.8,
    },
    _evaluate: {"resamples": 3, "level": 0.9, "seed": 1},
    _threshold: {"false_alarm_rate": 0.1},
    _normalizer: {"k_source": 2, "k_target": 2},
    _bank: {"n": 2, "alpha": 0.5},
    _complexity: {"samples": 160000},
    _count: {"threads": 1, "workers": 1},
    _training: {"epochs": 1, "batch": 2, "learning_rate": 0.1, "validation_share": 0.2},
    _prune: {"older_than_days": 1.0},
    _logmel: {"sample_rate": 8000, "layer": 1, "samples": 16000},
}  # fmt: skip


@target("numbers of functions", 30)
def call_function(case: Case) -> None:
    call = case.dice.choice(list(CALLS))
    numbers = dict(CALLS[call])
    name = case.dice.choice(sorted(numbers))
    numbers[name] = case.dice.choice(NUMBERS)
    case.remember(function=call.__name__, arguments={k: repr(v) for k, v in numbers.items()})
    if "layers" in numbers:
        numbers["layers"] = (numbers["layers"],)
    call(case, **numbers)


@target("texts of functions", 15)
def parse_text(case: Case) -> None:
    """Texts that are read as numbers, names or addresses."""
    from firstshot.cli.settings import read_channel, read_layers, read_pairs
    from firstshot.dcase.data.clip_names import parse_clip_name, parse_supplemental_name
    from firstshot.dcase.data.zenodo import Connection
    from firstshot.dcase.evaluation.score_files import file_name
    from firstshot.dcase.running.system import load_system
    from firstshot.encoders import load_encoder
    from firstshot.sound.audio import LengthPolicy

    text = case.dice.choice(TEXTS)
    case.remember(text=text)
    ways: list[Callable[[], object]] = [
        lambda: read_layers(text),
        lambda: read_channel(text),
        lambda: read_pairs([text, f"name={text}"]),
        lambda: LengthPolicy.parse(case.dice.choice(("fixed:", "windows:1:", "")) + text),
        lambda: parse_clip_name(f"section_{text}_source_train_normal_{text}"),
        lambda: parse_supplemental_name(text),
        lambda: Connection(text).record_url(7),
        lambda: file_name("anomaly_score", text, "00"),
        lambda: load_system(text),
        lambda: load_system(f"{text}.toml"),
        lambda: load_encoder(text),
        lambda: load_encoder("logmel").embed(np.ones((1, 8000)), 16000, (1,)),
        lambda: Path(text).name,
    ]
    case.dice.choice(ways)()
