"""How the autoencoder is trained: the values of the release, which a user can change."""

from __future__ import annotations

from dataclasses import dataclass

from firstshot.errors import ParameterError

SEEDS = (13711, 13712, 13713, 13714, 13715)
"""The seeds of the five trials; the release ships the first and does not tell the other four."""


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
        checks = {
            "epochs": (self.epochs >= 1, "1 or more"),
            "batch": (self.batch >= 2, "2 or more vectors, which batch norm needs"),
            "learning_rate": (self.learning_rate > 0, "a positive number"),
            "validation_share": (0 < self.validation_share <= 0.5, "above 0, at most 0.5"),
        }
        for name, (good, wanted) in checks.items():
            if not good:
                raise ParameterError(
                    f"autoencoder setting {name} is {getattr(self, name)}: expected {wanted}"
                )
