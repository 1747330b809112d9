"""How the autoencoder is trained: the values of the release, which a user can change."""

from __future__ import annotations

from dataclasses import dataclass

from firstshot.numbers import check_number, check_whole

SEEDS = (13711, 13712, 13713, 13714, 13715)
"""The seeds of the five trials; the release has the first; the other four are not published."""

MOST = 10**9
SMALLEST = 1e-12
"""Of what must lie above 0."""


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a training besides its clips and its seed.

    Attributes
    ----------
    epochs : int
        Passes over the training vectors.
    batch : int
        Vectors of a mini-batch.
    learning_rate : float
        Adam's.
    validation_share : float
        Share of the vectors that is kept from training.

    Raises
    ------
    ParameterError
        A value cannot be used.

    Examples
    --------
    >>> TrainingSettings(epochs=5)
    TrainingSettings(epochs=5, batch=256, learning_rate=0.001, validation_share=0.1)
    """

    epochs: int = 100
    batch: int = 256
    learning_rate: float = 1e-3
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        setting = "autoencoder setting"
        check_whole(f"{setting} epochs is", self.epochs, 1, MOST)
        check_whole(f"{setting} batch is", self.batch, 2, MOST, "batch norm needs two vectors")
        check_number(f"{setting} learning_rate is", self.learning_rate, SMALLEST, 1e38)
        check_number(f"{setting} validation_share is", self.validation_share, SMALLEST, 0.5)
