"""A system of the challenge as data: a small TOML file that a user can copy and change.

Input: the name of a packaged system (`systems/*.toml`) or the path of a file. Output: a checked
`System`, and from it a detector per encoder. An ensemble's score is the plain mean of its
encoders' scores.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from firstshot.autoencoder.settings import SEEDS, TrainingSettings
from firstshot.detector import Detector
from firstshot.detector.embedding.settings import resolved_encoder_settings
from firstshot.disk.documents import parse_toml, read_toml
from firstshot.errors import ParameterError
from firstshot.scoring.normalizers import make_normalizer
from firstshot.scoring.transform import make_transform
from firstshot.sound.audio import LengthPolicy


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


MOST_BYTES = 1 << 18
"""Of a system file, which has a few lines."""
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*$", max_length=80)]
ChannelNumber: TypeAlias = Annotated[StrictInt, Field(ge=0, le=1024)]
LayerNumber: TypeAlias = Annotated[StrictInt, Field(ge=-1000, le=1000)]


class EncoderChoice(_Strict):
    """An encoder, its layers (None: its own choice) and its constructor's settings."""

    name: str = Field(min_length=1, max_length=200)
    layers: tuple[LayerNumber, ...] | None = Field(default=None, min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)


class _Judging(_Strict):
    """What both kinds of systems share: a threshold makes decisions of scores."""

    def with_threshold(self, method: str) -> Self:
        """Return the system with its threshold set by another method."""
        known = get_args(type(self).model_fields["threshold"].annotation)
        if method not in known:
            raise ParameterError(f"threshold {method!r}: choose one of {', '.join(known)}")
        return self.model_copy(update={"threshold": method})


class System(_Judging):
    """Everything that decides a nearest-neighbour system; see `Detector` for each field."""

    name: Name
    description: str = ""
    encoders: tuple[EncoderChoice, ...] = Field(min_length=1)
    pooling: Literal["temporal", "spectral", "all"] = "temporal"
    combine: Literal["score_mean", "concat"] = "score_mean"
    normalizer: str = "domain_local_density"
    normalizer_settings: dict[str, Any] = Field(default_factory=dict)
    metric: str = "sqeuclidean"
    transform: str | None = None
    memmixup: bool = False
    length: str = "native"
    channel: ChannelNumber | Literal["mean"] = "mean"
    threshold: Literal["gamma", "quantile", "conformal"] = "gamma"
    false_alarm_rate: float = Field(default=0.1, gt=0, lt=1)

    def check(self) -> None:
        """Refuse a normaliser, metric, transform or length policy that there is not."""
        for name in ("name", "metric"):
            if name in self.normalizer_settings:
                raise ParameterError(f"normalizer_settings has {name!r}, which is no parameter")
        make_normalizer(self.normalizer, metric=self.metric, **self.normalizer_settings)
        make_transform(self.transform or "none")
        LengthPolicy.parse(self.length)

    def detector(self, choice: EncoderChoice) -> Detector:
        """Return an unfitted detector for one of the system's encoders."""
        return Detector(
            choice.name,
            layers=choice.layers,
            encoder_settings=dict(choice.settings),
            **self.model_dump(exclude={"name", "description", "encoders"}),
        )

    def run_by(self, runtime: str | None, precision: str | None) -> tuple[System, list[str]]:
        """Return the system with its encoders run otherwise, and what `auto` picked and why.

        The choice is settled here, once for the whole run, and so part of the run's identity.
        """
        given = {"runtime": runtime, "precision": precision}
        asked = {name: value for name, value in given.items() if value is not None}
        if not asked:
            return self, []
        choices, picked = [], []
        for choice in self.encoders:
            told = {**choice.settings, **asked}
            detector = self.detector(choice.model_copy(update={"settings": told}))
            encoder: Any = detector.embedding_settings().encoder
            if hasattr(encoder, "compile"):  # what cannot be run is refused here
                encoder.compile(detector.embedding_settings().layers)
            found = {**told, **(resolved_encoder_settings(encoder, told) or {})}
            choices.append(choice.model_copy(update={"settings": found}))
            if getattr(encoder, "reason", ""):
                picked.append(f"{choice.name}: {encoder.reason}")
        return self.model_copy(update={"encoders": tuple(choices)}), picked

    def with_normalizer(self, normalizer: str) -> System:
        """Return the system with another normaliser and that normaliser's default parameters."""
        make_normalizer(normalizer)
        return self.model_copy(update={"normalizer": normalizer, "normalizer_settings": {}})


class BaselineSystem(_Judging):
    """Everything that decides an autoencoder baseline.

    `score` is `mse`, `mahala` (as released), `mahala_per_frame` (the task paper's equation 6) or
    `mahala_per_frame_root`; `threshold` also takes `released`; one trial is trained per seed.
    """

    name: Name
    description: str = ""
    autoencoder: Literal["mse", "mahala", "mahala_per_frame", "mahala_per_frame_root"]
    seeds: tuple[Annotated[StrictInt, Field(ge=0, lt=2**63)], ...] = Field(SEEDS, min_length=1)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    channel: ChannelNumber | Literal["mean"] = 0
    threshold: Literal["gamma", "quantile", "conformal", "released"] = "gamma"
    false_alarm_rate: float = Field(default=0.1, gt=0, lt=1)

    def run_by(self, runtime: str | None, precision: str | None) -> NoReturn:
        """Refuse: torch trains a baseline and scores with it."""
        raise ParameterError(
            f"runtime {runtime or precision!r} with {self.name}: torch alone trains and runs an "
            "autoencoder baseline; leave it out"
        )

    def with_normalizer(self, normalizer: str) -> BaselineSystem:
        """Refuse: a baseline has no normaliser."""
        raise ParameterError(
            f"normaliser {normalizer!r} with {self.name}: an autoencoder baseline has none; leave "
            "it out"
        )


AnySystem: TypeAlias = System | BaselineSystem


def list_systems() -> tuple[str, ...]:
    """Return the names of the packaged systems.

    >>> "embedded" in list_systems()
    True
    """
    folder = resources.files("firstshot.dcase") / "systems"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_system(name_or_path: str) -> AnySystem:
    """Read a packaged system by name, or a system file by path (anything that ends in .toml).

    Raises
    ------
    ParameterError
        No such system or file, or a field that cannot be used; the message names it.

    Examples
    --------
    >>> load_system("embedded").encoders[0].name
    'logmel'
    """
    fields = _read_fields(name_or_path)
    try:
        system = make_system(fields)
        if isinstance(system, System):
            system.check()
    except ParameterError as error:
        raise ParameterError(f"{name_or_path}: {error}") from error
    return system


def make_system(fields: dict[str, Any]) -> AnySystem:
    """Make a system of plain values, each of which must be of its field's type.

    Raises
    ------
    ParameterError
        A field is missing, unknown, of another type or out of range; the message names it.
    """
    kind: type[System] | type[BaselineSystem] = (
        BaselineSystem if "autoencoder" in fields else System
    )
    try:
        # As JSON, whose lists are the tuples of these models; nothing else is converted.
        return kind.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ParameterError(
            f"field {field!r}: {first['msg'].lower()}; see the packaged systems"
        ) from error


def _read_fields(name_or_path: str) -> dict[str, Any]:
    path = Path(name_or_path)
    if not name_or_path.endswith(".toml"):
        if name_or_path not in list_systems():
            raise ParameterError(
                f"system {name_or_path!r} is not known; choose one of {_packaged_names()}, or name "
                "a .toml file"
            )
        folder = resources.files("firstshot.dcase") / "systems"
        return parse_toml((folder / f"{name_or_path}.toml").read_bytes())
    try:
        return read_toml(path, MOST_BYTES)
    except FileNotFoundError:
        raise ParameterError(
            f"{path}: no such system file; copy one of {_packaged_names()}"
        ) from None
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ParameterError(f"{path}: not valid TOML ({error}); correct it") from error


def _packaged_names() -> str:
    return ", ".join(list_systems())
