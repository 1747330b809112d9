"""A system of the challenge as a small TOML file that a user can copy and change.

Input: the name of a packaged system (`systems/*.toml`) or the path of a file. Output: a checked
`System`, and from it a detector per encoder. An ensemble's score is the plain mean of its
encoders' scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from firstshot.autoencoder.scores import ScoreName
from firstshot.autoencoder.settings import SEEDS, TrainingSettings
from firstshot.detector import Detector
from firstshot.detector.embedding.settings import resolved_encoder_settings
from firstshot.detector.fitted.settings import ONE_WAY, check_view
from firstshot.detector.views import (
    AUTO,
    View,
    default_preset,
    name_of_views,
    read_views,
    with_default_preset,
    with_encoder_settings,
)
from firstshot.disk.documents import parse_toml, read_toml
from firstshot.encoders.pooling import check_pooling
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of, shown_value
from firstshot.scoring.normalizers import make_normalizer
from firstshot.scoring.transform import make_transform
from firstshot.sound.audio import LengthPolicy
from firstshot.sound.near_far import NEAR_FAR


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


MOST_BYTES = 1 << 18
"""The largest size of a system file, which has a few lines."""
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*$", max_length=80)]
ChannelNumber: TypeAlias = Annotated[StrictInt, Field(ge=0, le=1024)]
LayerNumber: TypeAlias = Annotated[StrictInt, Field(ge=-1000, le=1000)]


class EncoderChoice(_Strict):
    """An encoder, its layers (None: its default) and its constructor's settings."""

    name: str = Field(min_length=1, max_length=200)
    layers: tuple[LayerNumber, ...] | None = Field(default=None, min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)


AnyChannel: TypeAlias = ChannelNumber | Literal["mean", "near-far"]


class ViewChoice(_Strict):
    """A view; see `firstshot.detector.views.View` for each field."""

    encoder: str = Field(min_length=1, max_length=200)
    layer: LayerNumber = 1
    pooling: str = "temporal"
    transform: str = "none"
    metric: str = "euclidean"
    groups: Annotated[StrictInt, Field(ge=1, le=10**6)] = 1
    over_groups: Literal["max", "mean"] = "max"
    normalizer: str = "density"
    normalizer_settings: dict[str, Any] = Field(default_factory=dict)
    standardize: bool = True
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    name: str = ""

    @property
    def view(self) -> View:
        """The view itself."""
        return View(**self.model_dump())


class System(_Strict):
    """All settings of a nearest-neighbour system; see `Detector` for each field.

    It has either views, or encoders and one way to compare their layers.
    """

    name: Name
    description: str = ""
    encoders: tuple[EncoderChoice, ...] = ()
    views: tuple[ViewChoice, ...] = ()
    pooling: str = "temporal"
    combine: Literal["score_mean", "score_min", "concat"] = "score_mean"
    normalizer: str = "domain_local_density"
    normalizer_settings: dict[str, Any] = Field(default_factory=dict)
    metric: str = "sqeuclidean"
    transform: str | None = None
    memmixup: bool = False
    length: str = "native"
    channel: AnyChannel = 0  # near the machine in the data of 2026; one channel before
    far_noise: Literal["supplemental"] | None = None
    threshold: Literal["gamma", "quantile", "conformal"] = "gamma"
    false_alarm_rate: float = Field(default=0.1, gt=0, lt=1)
    bank_precision: Literal["float32", "float16"] = "float32"
    threshold_for: Literal["pooled", "each_domain"] = "pooled"
    held_out: Literal["block", "single"] | None = None

    @field_validator("pooling")
    @classmethod
    def _check_pooling(cls, pooling: str) -> str:
        try:
            check_pooling(pooling)
        except ParameterError as error:
            raise ValueError(str(error)) from error
        return pooling

    @model_validator(mode="after")
    def _check_views(self) -> System:
        if bool(self.encoders) == bool(self.views):
            raise ValueError("give either encoders or views, one or more of them")
        beside = [name for name in _ONE_WAY if name in self.model_fields_set]
        if self.views and beside:
            raise ValueError(f"{beside[0]} beside views: each view has its own, leave it out")
        return self

    @property
    def members(self) -> tuple[EncoderChoice | None, ...]:
        """What has a detector of its own: every encoder, or (None) all views together."""
        return self.encoders or (None,)

    @property
    def choices(self) -> tuple[EncoderChoice, ...]:
        """Every encoder that it runs, with its layers, whether named by itself or in views."""
        by_encoder: dict[str, list[ViewChoice]] = {}
        for view in self.views:
            key = json.dumps([view.encoder, view.encoder_settings], sort_keys=True)
            by_encoder.setdefault(key, []).append(view)
        of_views = (
            EncoderChoice(
                name=views[0].encoder,
                layers=tuple(dict.fromkeys(view.layer for view in views)),
                settings=views[0].encoder_settings,
            )
            for views in by_encoder.values()
        )
        return (*self.encoders, *of_views)

    def check(self) -> None:
        """Refuse an unknown normaliser, metric, transform or length policy."""
        for view in self.views:
            check_view(view.view)
        for name in ("name", "metric"):
            if name in self.normalizer_settings:
                raise ParameterError(f"normalizer_settings has {name!r}, which is not a parameter")
        make_normalizer(self.normalizer, metric=self.metric, **self.normalizer_settings)
        make_transform(self.transform or "none")
        LengthPolicy.parse(self.length)
        if self.far_noise and self.channel != NEAR_FAR:
            raise ParameterError(
                f"far_noise {self.far_noise!r} with channel {self.channel!r}: it is used by "
                f"channel {NEAR_FAR!r} only; choose that channel, or leave far_noise out"
            )

    def detector(self, choice: EncoderChoice | None) -> Detector:
        """Return an unfitted detector for one of the system's members."""
        if choice is None:
            return Detector(
                views=tuple(view.view for view in self.views),
                **self.model_dump(
                    exclude={"name", "description", "encoders", "views", "far_noise", *_ONE_WAY}
                ),
            )
        return Detector(
            choice.name,
            layers=choice.layers,
            encoder_settings=dict(choice.settings),
            **self.model_dump(exclude={"name", "description", "encoders", "views", "far_noise"}),
        )

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, dump: Callable[[System], dict[str, Any]]) -> dict[str, Any]:
        """Leave out the default of a new field, so that earlier runs have the same identity."""
        values = dump(self)
        for name, usual in _NEW_DEFAULTS.items():
            if name in values and values[name] in usual:
                del values[name]
        if "views" in values:
            for name in ("encoders", *_ONE_WAY):
                values.pop(name, None)
        return values

    def changed(self, settings: Mapping[str, Any]) -> System:
        """Return the system with other settings, checked as those of a system file.

        Parameters
        ----------
        settings : mapping
            Arguments of `Detector`; each replaces the system's own value. `encoder`,
            `layers` and `encoder_settings` are for every encoder of the system, and another
            normaliser begins with its own default parameters.

        Raises
        ------
        ParameterError
            A value that a system file may not have either; the message names the field.
        """
        changes = dict(settings)
        plain = self.model_dump(mode="json")
        if "encoder" in changes:
            plain["encoders"] = [{"name": changes.pop("encoder"), "settings": {}}]
            plain.pop("views", None)
        if "views" in changes:
            views = changes.pop("views")
            views = with_default_preset(views) if isinstance(views, str) else views
            plain = {name: v for name, v in plain.items() if name not in ("encoders", *_ONE_WAY)}
            plain["views"] = [_plain(view) for view in read_views(views)]
            plain["name"] = name_of_views(views) if isinstance(views, str) else plain["name"]
        of_encoders = changes.pop("encoder_settings", {})
        if "views" in plain:
            for name in ("layers", *_ONE_WAY):
                if name in changes:
                    raise ParameterError(
                        f"{name} {shown_value(changes[name])} with {plain['name']}: each of its "
                        "views has its own; leave it out, or name an encoder"
                    )
            views = [ViewChoice(**view).view for view in plain["views"]]
            plain["views"] = [_plain(v) for v in with_encoder_settings(views, of_encoders)]
            plain.setdefault("encoders", [])
        if "weights" in of_encoders and len(plain["encoders"]) > 1:
            raise ParameterError(
                f"weights {of_encoders['weights']!r} with {self.name}: it has several encoders; "
                "write each one's weights into a copy of its system file, or name one encoder"
            )
        for choice in plain["encoders"]:
            choice["settings"] |= of_encoders
            choice["layers"] = changes.get("layers", choice.get("layers"))
        changes.pop("layers", None)
        if "views" not in plain:
            before = {} if "normalizer" in changes else plain.get("normalizer_settings", {})
            plain["normalizer_settings"] = before | changes.pop("normalizer_settings", {})
        system = make_system({**plain, **changes})
        assert isinstance(system, System)
        system.check()
        return system

    def pick_runtimes(self) -> tuple[System, list[str]]:
        """Return the system with the runtimes that `auto` chooses here, and the reasons.

        The choice is made once for the whole run, so it is part of the run's identity.
        """
        if self.views:
            return self._pick_for_views()
        choices, picked = [], []
        for choice in self.encoders:
            if not choice.settings.keys() & {"runtime", "precision"}:
                choices.append(choice)
                continue
            detector = self.detector(choice)
            encoder: Any = detector.embedding_settings().encoder
            if hasattr(encoder, "compile"):  # refuses a runtime that cannot run it
                encoder.compile(detector.embedding_settings().layers)
            found = {
                **choice.settings,
                **(resolved_encoder_settings(encoder, choice.settings) or {}),
            }
            choices.append(choice.model_copy(update={"settings": found}))
            if getattr(encoder, "reason", ""):
                picked.append(f"{choice.name}: {encoder.reason}")
        return self.model_copy(update={"encoders": tuple(choices)}), picked

    def _pick_for_views(self) -> tuple[System, list[str]]:
        if not any(view.encoder_settings.keys() & {"runtime", "precision"} for view in self.views):
            return self, []
        detector = self.detector(None)
        settings = detector.embedding_settings()
        encoder: Any = settings.encoder
        if hasattr(encoder, "compile"):
            encoder.compile(settings.layers)
        found = {one.name: one for one in getattr(encoder, "members", [encoder])}
        views = []
        for view in self.views:
            name = view.view.encoder_name
            own = resolved_encoder_settings(found[name], view.encoder_settings) or {}
            settings_here = {**view.encoder_settings, **own}
            views.append(view.model_copy(update={"encoder_settings": settings_here}))
        reasons = {name: getattr(one, "reason", "") for name, one in found.items()}
        picked = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
        return self.model_copy(update={"views": tuple(views)}), picked


_ONE_WAY = ("pooling", "normalizer", "normalizer_settings", "metric", "transform")
"""Fields that each view has of its own, where there are views."""
_NEW_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "bank_precision": ("float32",),
    "far_noise": (None,),
    "threshold_for": ("pooled",),
    "held_out": (None,),
    "views": ((), []),
}
"""Fields that earlier runs did not have; they are left out where they have these values."""


def _plain(view: View) -> dict[str, Any]:
    """Return a view as plain values."""
    choice = {one.name: getattr(view, one.name) for one in fields(view)}
    choice["normalizer_settings"] = dict(view.normalizer_settings)
    return {**choice, "encoder_settings": dict(view.encoder_settings)}


class BaselineSystem(_Strict):
    """All settings of an autoencoder baseline.

    `autoencoder` names the score: `mse`, `mahala` (as released), `mahala_per_frame` (the task
    paper's equation 6) or `mahala_per_frame_root`. `threshold` also takes `released`. Each seed
    has one trial.
    """

    name: Name
    description: str = ""
    autoencoder: ScoreName
    seeds: tuple[Annotated[StrictInt, Field(ge=0, lt=2**63)], ...] = Field(SEEDS, min_length=1)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    channel: AnyChannel = 0
    threshold: Literal["gamma", "quantile", "conformal", "released"] = "gamma"
    false_alarm_rate: float = Field(default=0.1, gt=0, lt=1)

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("give different numbers, one per trial")
        return seeds

    def changed(self, settings: Mapping[str, Any]) -> BaselineSystem:
        """Return the baseline with another channel, threshold or rate; all else is refused."""
        for name, value in settings.items():
            if name not in type(self).model_fields:
                raise ParameterError(
                    f"{name} {shown_value(value)} with {self.name}: an autoencoder baseline has "
                    "none; leave it out"
                )
        system = make_system({**self.model_dump(mode="json"), **settings})
        assert isinstance(system, BaselineSystem)
        return system

    def pick_runtimes(self) -> tuple[BaselineSystem, list[str]]:
        """Return the system itself: torch runs it."""
        return self, []


AnySystem: TypeAlias = System | BaselineSystem


def list_systems() -> tuple[str, ...]:
    """Return the names of the packaged systems.

    >>> "embedded" in list_systems()
    True
    """
    folder = resources.files("firstshot.dcase") / "systems"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def usual_system(settings: Mapping[str, Any]) -> str:
    """Return the system to change by `settings` where none is named, as `Detector` chooses.

    It is `auto`, and `embedded` for settings that describe one way to compare.
    """
    return "embedded" if settings.keys() & ONE_WAY.keys() else AUTO


def load_system(name_or_path: str) -> AnySystem:
    """Read a packaged system by name, or a system file by path (anything that ends in .toml).

    `auto` is `recommended_fusion` where its weights are on this machine, else `recommended`.

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
        # As JSON: its lists become the tuples of these models, and no other type is converted.
        return kind.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ParameterError(
            f"field {field!r}: {first['msg'][:1].lower()}{first['msg'][1:]}; see the packaged "
            "systems"
        ) from error


def _read_fields(name_or_path: str) -> dict[str, Any]:
    path = Path(name_or_path)
    name_or_path = default_preset()[0] if name_or_path == AUTO else name_or_path
    if not name_or_path.endswith(".toml"):
        if name_or_path not in list_systems():
            known = choose_one_of(name_or_path, list_systems())
            raise ParameterError(
                f"system {name_or_path!r} is not known; {known}, or name a .toml file"
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
