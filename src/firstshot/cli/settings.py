"""Every setting of a detector, as an option of `firstshot fit` and of `firstshot dcase run`.

Input: what a user gives on the command line. Output: arguments of `Detector`'s constructor, only
those that were given. The table below is the one place that says how a setting is called and what
it means there; a test compares it with the constructor and with the fields of a system file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from firstshot.disk.documents import parse_toml
from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import read_whole


@dataclass(frozen=True)
class Setting:
    """One option.

    Attributes
    ----------
    argument : str
        The argument of `Detector` that it sets; after a dot, the key within that argument, where
        `*` means any key.
    group : str
        The heading in `--help`.
    help : str
        What it means; for a choice, each value.
    default : object
        What `Detector` takes where nothing is given; None says that `help` tells it.
    kind : type
        What the command line turns the text into.
    read : callable
        Makes the argument's value of it.
    called : str
        The option's name where it is not the argument's.
    """

    argument: str
    group: str
    help: str
    default: object = None
    kind: Any = str
    read: Callable[[Any], Any] = lambda value: value
    called: str = ""

    @property
    def name(self) -> str:
        """The option without dashes, as a Python name."""
        if self.called:
            return self.called
        outer, _, inner = self.argument.partition(".")
        return outer.removesuffix("s") if inner == "*" else inner or outer

    def _off(self, dashed: str) -> list[str]:
        return ["no-" + dashed] if self.kind is bool else []

    def option(self) -> inspect.Parameter:
        """Return the parameter that makes typer offer the option; None means not given."""
        dashed = self.name.replace("_", "-")
        flag = "/".join(f"--{word}" for word in (dashed, *self._off(dashed)))
        end = "" if self.default is None else f" Default: {self.default}."
        option = typer.Option(flag, help=self.help + end, rich_help_panel=self.group)
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.kind | None, option],
        )


def read_layers(text: str) -> tuple[int, ...]:
    """Return the layers that a text such as `7,10` lists."""
    layers = []
    for part in text.split(","):
        number = read_whole(part.strip().removeprefix("-"))
        if number is None:
            raise ParameterError(
                f"layers {shown_value(text)}: expected numbers such as 7,10 or -2,-1"
            )
        layers.append(-number if part.strip().startswith("-") else number)
    return tuple(layers)


def read_channel(text: str) -> Any:
    """Return the channel that `mean`, `near-far` or a number names."""
    number = text if text in ("mean", "near-far") else read_whole(text)
    if number is None:
        raise ParameterError(
            f"channel {shown_value(text)}: expected a number from 0 on, 'mean' or 'near-far'"
        )
    return number


def read_pairs(texts: list[str]) -> dict[str, Any]:
    """Return the settings that texts such as `variant=pretrained` write.

    >>> read_pairs(["micro_batch=8", "variant=pretrained"])
    {'micro_batch': 8, 'variant': 'pretrained'}
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ParameterError(f"setting {shown_value(text)}: expected NAME=VALUE")
        try:
            pairs[name] = parse_toml(f"value = {value}")["value"]
        except ValueError:  # plain text
            pairs[name] = value
    return pairs


METHODS = (
    "conformal (the false-alarm rate is promised), quantile (of the normal scores), or gamma (the "
    "way of the challenge's baseline)."
)
RATE = "Share of normal clips that may be called anomalous."
SETTINGS = (
    Setting(
        "views",
        "Preset",
        "What is compared, and how: recommended (four views of log spectra), recommended_small "
        "(two of them), recommended_fusion (with EfficientAT mn04, whose weights are needed) or "
        "embedded (log-mel statistics); auto is recommended_fusion where its weights are found, "
        "else recommended. Default: auto, unless an option of Encoder or Scores says what is "
        "compared.",
        called="preset",
    ),
    Setting(
        "views",
        "Preset",
        "trained:FILE: a file of `firstshot train` as one view more beside those of the preset (by "
        "default auto); may be repeated.",
        kind=list[str],
        called="view",
    ),
    Setting(
        "encoder",
        "Encoder",
        "An encoder in place of a preset, see `firstshot encoders`, or a file of `firstshot "
        "train`. Default: logmel, where --layers, --pooling, --transform, --metric or an option "
        "of the normaliser is given.",
    ),
    Setting("encoder_settings.weights", "Encoder", "The encoder's weights file.", kind=Path),
    Setting(
        "layers",
        "Encoder",
        "Layers such as 7,10, or -2,-1 counted from the last. Default: the encoder's own.",
        read=read_layers,
    ),
    Setting(
        "pooling",
        "Encoder",
        "How a layer's output becomes one embedding: temporal (mean over time, frequencies kept), "
        "spectral (mean over frequency), all (one mean), mean_deviation, or gem:P, gwrp:R, rdp:G, "
        "rdp_gem:G (docs/methods.md). Default: temporal.",
    ),
    Setting(
        "encoder_settings.device", "Encoder", "cpu, or cuda for a graphics card. Default: cpu."
    ),
    Setting(
        "encoder_settings.runtime",
        "Encoder",
        "What runs the encoder: torch, openvino, onnx, or auto (the fastest here). Default: torch.",
    ),
    Setting(
        "encoder_settings.precision",
        "Encoder",
        "What the encoder computes in: fp32, fp16, bf16, or auto (the fastest here). "
        "Default: fp32.",
    ),
    Setting(
        "encoder_settings.keep_level",
        "Encoder",
        "With --encoder logmel: keep how loud a clip is. Default: it is taken out.",
        kind=bool,
    ),
    Setting(
        "encoder_settings.*",
        "Encoder",
        "NAME=VALUE: another setting of the encoder, see docs/encoders.md; may be repeated.",
        kind=list[str],
        read=read_pairs,
    ),
    Setting(
        "length",
        "Clips",
        "What is used of a clip: native (all of it), fixed:SECONDS (its start, or zeros appended), "
        "or windows:SECONDS[:HOP] (cut into windows; a clip of as many windows as the normal clips "
        "is judged by its worst window, a longer one by how many windows score high).",
        "native",
    ),
    Setting(
        "channel",
        "Clips",
        "The channel, counted from 0, mean (the average of all), or near-far (channel 0, at the "
        "machine, without what channel 1, in the room, explains of it; see docs/two_channels.md).",
        "mean",
        read=read_channel,
    ),
    Setting(
        "far_noise",
        "Clips",
        "For --channel near-far: a folder of recordings of the room's noise alone, the machine "
        "off, on which is fitted once how the noise reaches both microphones; a run takes "
        "'supplemental', the noise-only clips of each machine. Default: fitted on each clip.",
    ),
    Setting(
        "transform",
        "Scores",
        "What is done to embeddings before distances are taken: none, standardize, "
        "half_standardize or whiten. Default: the encoder's own.",
    ),
    Setting(
        "metric", "Scores", "Distance: sqeuclidean, euclidean or cosine. Default: sqeuclidean."
    ),
    Setting(
        "combine",
        "Scores",
        "Several views or layers: score_mean (a score for each, then the mean), score_min (the "
        "smallest) or concat (one long embedding of all layers).",
        "score_mean",
    ),
    Setting(
        "normalizer",
        "Scores",
        "How distances become scores: none, domain_zscore, local_density, domain_local_density, "
        "density, corrected, mahalanobis, pca_residual, or test_zscore (which looks at the clips "
        "under test). Default: domain_local_density.",
    ),
    Setting(
        "normalizer_settings.k",
        "Scores",
        "Nearest neighbours. Default: 16 for local_density, 2 for density, otherwise 1.",
        kind=int,
    ),
    Setting(
        "normalizer_settings.k_source",
        "Scores",
        "Nearest neighbours among usual conditions (source), for domain_local_density. "
        "Default: 16.",
        kind=int,
    ),
    Setting(
        "normalizer_settings.k_target",
        "Scores",
        "Nearest neighbours among new conditions (target), for domain_local_density. Default: 9.",
        kind=int,
    ),
    Setting(
        "normalizer_settings.own_std",
        "Scores",
        "domain_zscore: divide by each domain's own deviation. Default: by the target's.",
        kind=bool,
    ),
    Setting(
        "normalizer_settings.*",
        "Scores",
        "NAME=VALUE: another parameter of the normaliser; may be repeated.",
        kind=list[str],
        read=read_pairs,
    ),
    Setting(
        "memmixup",
        "Scores",
        "Add mixtures of target and source clips to the target bank. Default: none are added.",
        kind=bool,
    ),
    Setting(
        "bank_precision",
        "Scores",
        "What the normal clips are kept in: float32, or float16, which halves the file (for "
        "hundreds of thousands of clips).",
        "float32",
    ),
    Setting("threshold", "Threshold", METHODS, "conformal"),
    Setting("false_alarm_rate", "Threshold", RATE, 0.1, kind=float),
    Setting(
        "threshold_for",
        "Threshold",
        "pooled (the rate is that of all normal clips) or each_domain (no domain exceeds it: the "
        "higher threshold of the two, for new conditions that must not raise alarms).",
        "pooled",
    ),
    Setting(
        "held_out",
        "Threshold",
        "The clips that a clip is scored without, to set the threshold: block (its recording, or "
        "its neighbours by name) or single (itself alone). Default: block for the recommended "
        "presets, otherwise single.",
    ),
)


def help_of(argument: str) -> str:
    """Return the help of a setting, for a command that offers it alone."""
    return next(setting.help for setting in SETTINGS if setting.argument == argument)


def read_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `Detector` for the options that were given.

    >>> read_settings({"layers": "7,10", "k": 4, "weights": Path("w.pt"), "metric": None})
    {'encoder_settings': {'weights': 'w.pt'}, 'layers': (7, 10), 'normalizer_settings': {'k': 4}}
    """
    from firstshot.detector.views import AUTO, JOINED

    found: dict[str, Any] = {}
    for setting in SETTINGS:
        value = given.get(setting.name)
        if value is None or value == []:
            continue
        value = str(value) if isinstance(value, Path) else setting.read(value)
        outer, _, inner = setting.argument.partition(".")
        if setting.called == "view":
            found[outer] = JOINED.join([found.get(outer, AUTO), *value])
        elif not inner:
            found[outer] = value
        else:
            found.setdefault(outer, {}).update(value if inner == "*" else {inner: value})
    return found


EMBEDDING = ("encoder", "layers", "pooling", "length", "channel", "far_noise", "encoder_settings")
"""The arguments that say how clips become embeddings."""


def with_settings(
    overrides: bool = False, only: tuple[str, ...] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command all settings as options; it takes those given as its argument `settings`.

    With `overrides` the defaults are those of a system file and not those in the table. `only`
    names the arguments of `Detector` whose options are wanted.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.name != "settings"
        ]
        options = [
            setting.option()
            for setting in SETTINGS
            if only is None or setting.argument.partition(".")[0] in only
        ]
        if overrides:
            options = [_without_default(option) for option in options]

        @wraps(command)
        def run(**given: Any) -> None:
            settings = {option.name: given.pop(option.name) for option in options}
            command(**given, settings=read_settings(settings))

        run.__signature__ = signature.replace(parameters=own + options)  # type: ignore[attr-defined]
        run.__annotations__ = {}
        del run.__wrapped__
        return run

    return decorate


def _without_default(option: inspect.Parameter) -> inspect.Parameter:
    kind, info = option.annotation.__args__[0], option.annotation.__metadata__[0]
    text = re.sub(r" Default: .*", "", info.help)
    other = typer.Option(info.default, help=text, rich_help_panel=info.rich_help_panel)
    return option.replace(annotation=Annotated[kind, other])
