"""What is known of every pre-trained encoder before its weights are there: one record each.

Input: a name. Output: spec, settings, licence, and where the weights come from.
No torch and no network. Sources: the authors' repositories and model cards; what none of them
states is None here (a revision or a checksum that nobody published is not pinned).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from firstshot.encoders.specs import SPECS, Spec
from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of

COMMON_SETTINGS = ("last_layer", "micro_batch")
"""What every pre-trained encoder can be set to besides its own settings."""
RUNTIME_SETTINGS = ("runtime", "precision", "threads", "workers")
"""What runs its network, see `encoders.runtimes.with_runtime`; torch without any."""


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub.

    Attributes
    ----------
    repo, file : str
        As in ``https://huggingface.co/{repo}/resolve/{revision}/{file}``.
    revision : str, optional
        The commit; None is not pinned, the newest is taken.
    sha256 : str, optional
        Hex digest of the file; None is not known before the hub announces one.
    size : int, optional
        Bytes of the file.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str | None = None
    sha256: str | None = None
    size: int | None = None

    def __str__(self) -> str:
        pinned = f"at {self.revision[:12]}" if self.revision else "not pinned"
        return f"hub: {self.repo} ({pinned})"

    @property
    def get(self) -> str:
        """How to get the file without `fetch`."""
        return f"{self.file} from huggingface.co/{self.repo}"


@dataclass(frozen=True)
class WebFile:
    """A file with an address of its own, as a release on GitHub has it.

    Attributes
    ----------
    url : str
        Its https address.
    sha256 : str, optional
        Hex digest of the file; None is not pinned.
    size : int, optional
        Bytes of the file.
    """

    url: str
    sha256: str | None = None
    size: int | None = None

    def __str__(self) -> str:
        return f"{self.url} ({'pinned by SHA-256' if self.sha256 else 'not pinned'})"

    @property
    def get(self) -> str:
        """How to get the file without `fetch`."""
        return self.url


@dataclass(frozen=True)
class HandFile:
    """A file that `fetch` does not bring: its address needs a browser, or its licence a decision.

    Attributes
    ----------
    get : str
        How to get it; the end of a sentence that begins with "get".
    """

    get: str

    def __str__(self) -> str:
        return f"by hand: {self.get}"


PublishedFile = HubFile | WebFile | HandFile


@dataclass(frozen=True)
class EncoderRecord:
    """What is known of one pre-trained encoder.

    Attributes
    ----------
    name : str
        The name that `firstshot.load_encoder` knows.
    spec : Spec
        The encoder without its weights: sizes, front-end, default layers.
    licence : str
        The licence of the weights, and where it is stated.
    formats : tuple of str
        The published files that are read.
    files : mapping of str to HubFile, WebFile or HandFile
        Published variants, the default first.
    terms : str, optional
        What an evaluation licence allows; it is shown whenever the weights are loaded.
    spec_settings, geometry_settings : tuple of str
        Fields of the spec and of its geometry that `load_encoder` takes as settings.
    """

    name: str
    spec: Spec
    licence: str
    formats: tuple[str, ...]
    files: Mapping[str, PublishedFile]
    terms: str | None = None
    spec_settings: tuple[str, ...] = ("fixed_samples",)
    geometry_settings: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """Every setting that `load_encoder` takes for this encoder."""
        return (
            *self.spec_settings,
            *self.geometry_settings,
            *COMMON_SETTINGS,
            *RUNTIME_SETTINGS,
            "variant",
        )

    def file(self, variant: str | None = None) -> PublishedFile:
        """Return the file of a published variant, of the default one for None.

        Raises
        ------
        ParameterError
            No variant has that name.
        """
        if variant is None:
            return next(iter(self.files.values()))
        if variant not in self.files:
            raise ParameterError(
                f"{self.name}: variant {variant!r} is not known; known: {', '.join(self.files)}"
            )
        return self.files[variant]

    def is_default(self, variant: str | None) -> bool:
        """Tell whether a variant is the one that a name without a variant means."""
        return variant is None or variant == next(iter(self.files))

    def advice(self, variant: str | None = None) -> str:
        """Say in a few words how to come by the weights, as the end of a sentence."""
        by_hand = self.by_hand(variant)
        if isinstance(self.file(variant), HandFile):
            return by_hand
        return f"run `{self._command(variant)}`, or {by_hand}"

    def by_hand(self, variant: str | None = None) -> str:
        """Say how to come by the weights without `fetch`, as the end of a sentence."""
        return (
            f"get {self.file(variant).get}, and run `{self._command(variant)} --from FILE`, name "
            "it with --weights PATH, or in Python give it as weights=PATH"
        )

    def _command(self, variant: str | None) -> str:
        chosen = f" --variant {variant}" if variant else ""
        return f"firstshot encoders fetch {self.name}{chosen}"


def _eat(name: str, finetuned: HubFile, pretrained: HubFile) -> EncoderRecord:
    return EncoderRecord(
        name=name,
        spec=SPECS[name],
        licence="MIT (repository)",
        formats=("model.safetensors", "fairseq .pt, fine-tuned or pre-trained"),
        files=MappingProxyType({"finetuned": finetuned, "pretrained": pretrained}),
        spec_settings=("fixed_samples", "output", "pooled"),
        geometry_settings=("least_frames",),
    )


def _ced(size: str, zenodo: str) -> EncoderRecord:
    file = HubFile(f"mispeech/ced-{size}")
    return EncoderRecord(
        name=f"ced_{size}",
        spec=SPECS[f"ced_{size}"],
        licence="Apache-2.0 (model card)",
        formats=("model.safetensors", f"Zenodo {zenodo}"),
        files=MappingProxyType({"finetuned": file}),
        spec_settings=("fixed_samples", "pooled"),
    )


def _efficientat(width: str, file: WebFile) -> EncoderRecord:
    return EncoderRecord(
        name=f"efficientat_{width}",
        spec=SPECS[f"efficientat_{width}"],
        licence="MIT (repository)",
        formats=(file.url.rpartition("/")[2],),
        files=MappingProxyType({"finetuned": file}),
        spec_settings=("fixed_samples", "level"),
    )


_EFFICIENTAT = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"
_RECORDS = (
    EncoderRecord(
        name="beats_ft1",
        spec=SPECS["beats_ft1"],
        licence="MIT (repository)",
        formats=(
            "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt1.pt",
            "BEATs_iter3.pt",
            "BEATs_iter3_plus_AS2M.pt",
        ),
        files=MappingProxyType(
            {
                "finetuned": HandFile(
                    "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt1.pt by hand from "
                    "https://1drv.ms/u/s!AqeByhGUtINrgcpoZecQbiXeaUjN8A?e=DasbeC "
                    "(linked from beats/README.md of github.com/microsoft/unilm)"
                ),
                "pretrained": HandFile(
                    "BEATs_iter3.pt by hand from beats/README.md of github.com/microsoft/unilm, "
                    "row Iter3, column Pre-Trained Model"
                ),
                "pretrained_plus": HandFile(
                    "BEATs_iter3_plus_AS2M.pt by hand from "
                    "https://1drv.ms/u/s!AqeByhGUtINrgcpke6_lRSZEKD5j2Q?e=A3FpOf "
                    "(linked from beats/README.md of github.com/microsoft/unilm)"
                ),
            }
        ),
    ),
    EncoderRecord(
        name="m2d_clap",
        spec=SPECS["m2d_clap"],
        licence="NTT evaluation licence",
        formats=("weights_ep67it3124-0.48558.pth", "M2D-CLAP .pth of 2024 and 2025"),
        files=MappingProxyType(
            {
                "finetuned": HandFile(
                    "weights_ep67it3124-0.48558.pth by hand from "
                    "m2d_clap_vit_base-80x1001p16x16-240128_AS-FT_enconly.zip, release v0.3.0 of "
                    "github.com/nttcslab/m2d, if its licence allows your use"
                )
            }
        ),
        terms="M2D-CLAP's weights come under NTT's evaluation licence: internal, non-commercial "
        "testing only, no redistribution, no modification; read LICENSE of github.com/nttcslab/m2d "
        "before you use them",
        geometry_settings=("piece_frames",),
    ),
    _eat(
        "eat",
        HubFile("worstchan/EAT-base_epoch30_finetune_AS2M"),
        HubFile("worstchan/EAT-base_epoch30_pretrain"),
    ),
    _eat(
        "eat_large",
        HubFile(
            "worstchan/EAT-large_epoch20_finetune_AS2M",
            revision="53b1251196e3dabb991dfa7629fa89394c7f8335",
            size=1_237_667_364,
        ),
        HubFile("worstchan/EAT-large_epoch20_pretrain"),
    ),
    _eat(
        "sslam",
        HubFile("ta012/SSLAM_AS2M_Finetuned"),
        HubFile("ta012/SSLAM_pretrain"),
    ),
    _ced("tiny", "audiotransformer_tiny_mAP_4814.pt"),
    _ced("mini", "audiotransformer_mini_mAP_4896.pt"),
    _ced("small", "audiotransformer_small_mAP_4958.pt"),
    _ced("base", "audiotransformer_base_mAP_4999.pt"),
    _efficientat(
        "mn04",
        WebFile(
            f"{_EFFICIENTAT}/mn04_as_mAP_432.pt",
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
            size=4_066_513,
        ),
    ),
    _efficientat("mn10", WebFile(f"{_EFFICIENTAT}/mn10_as_mAP_471.pt")),
)

ENCODERS: dict[str, EncoderRecord] = {record.name: record for record in _RECORDS}
"""Every pre-trained encoder by its name."""


def find_record(name: str) -> EncoderRecord:
    """Return the record of a pre-trained encoder.

    Raises
    ------
    ParameterError
        No pre-trained encoder has that name.

    Examples
    --------
    >>> str(find_record("ced_tiny").file())
    'hub: mispeech/ced-tiny (not pinned)'
    """
    if name not in ENCODERS:
        raise ParameterError(f"{name!r} is no pre-trained encoder; {choose_one_of(name, ENCODERS)}")
    return ENCODERS[name]
