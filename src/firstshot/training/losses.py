"""Losses that compare an embedding's direction with learned directions of classes.

Input: embeddings x (batch, dim) and labels y (batch, classes), whose rows sum to 1 (soft after
mixup). Output: the mean loss of the batch. With z = x / |x| and unit vectors w, cos = <z, w>:

| loss | logits | source |
|---|---|---|
| `adacos` | s cos_c | AdaCos, Zhang et al. 2019 |
| `sub_cluster_adacos` | s cos_(c,k), k = 1..16; p_c = sum of p_(c,k) | Wilkinghoff 2021 |
| `adaproj` | s cos of z and its projection on a class's 32 vectors | Wilkinghoff 2024 |
| `arcface` | s cos(theta_c + m), m on the true class alone | Deng et al. 2019 |

The scale s is sqrt(2) ln(N - 1) for N centres, or follows the training (`dynamic`). Centres are
normalised at every use, and learned or fixed. Two classes give AdaCos the scale 0, and no gradient
with it, so no scale is below 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from firstshot.errors import ParameterError
from firstshot.training.settings import LEAST_SCALE, LossSettings

MOST_SCALE = 1000.0
"""A dynamic scale above it has left all bounds: a softmax is then a maximum, without gradient."""
_EDGE = 1e-7
"""How near to +-1 a cosine may come, where the gradient of its angle is infinite."""


class AngularLoss(nn.Module):
    """Centres of classes, and the mean cross-entropy of embeddings with them.

    Parameters
    ----------
    classes : int
        Number of classes, two or more.
    dim : int
        Values of an embedding.
    settings : LossSettings
        Which loss, and how.
    generator : torch.Generator, optional
        Gives the first centres, uniform by Glorot and Bengio (2010).

    Raises
    ------
    ParameterError
        There is one class: every loss is then 0, and nothing is learned.
    """

    scale: Tensor

    def __init__(
        self,
        classes: int,
        dim: int,
        settings: LossSettings,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if classes < 2:
            raise ParameterError(
                f"{classes} class: a network learns by telling classes apart; give clips of two "
                "machines, or of one with attributes or both domains"
            )
        self.settings, self.classes = settings, classes
        centres = torch.empty(classes * settings.vectors, dim)
        nn.init.xavier_uniform_(centres, generator=generator)
        self.centres = nn.Parameter(centres, requires_grad=settings.trainable)
        self.register_buffer("scale", torch.tensor(settings.scale(classes), dtype=torch.float64))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; in training, a dynamic scale is set by this batch first."""
        unit = normalize(embeddings, dim=1)
        if self.settings.name == "adaproj":
            cosines = self._projected(unit)
        else:
            cosines = unit @ normalize(self.centres, dim=1).T
        if self.settings.dynamic and self.training:
            with torch.no_grad():
                self.scale.fill_(max(LEAST_SCALE, self._next_scale(cosines, labels)))
        if self.settings.name == "arcface":
            return self._with_margin(cosines, labels)
        logarithms = (self.scale.to(cosines.dtype) * cosines).log_softmax(dim=1)
        if self.settings.name == "sub_cluster_adacos":
            logarithms = self._by_class(logarithms).logsumexp(dim=2)
        return -(labels * logarithms).sum(dim=1).mean()

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return the most probable class (batch,) of each embedding."""
        unit = normalize(embeddings, dim=1)
        if self.settings.name == "adaproj":
            return self._projected(unit).argmax(dim=1)
        logits = self.scale.to(unit.dtype) * (unit @ normalize(self.centres, dim=1).T)
        return self._by_class(logits).logsumexp(dim=2).argmax(dim=1)

    def _by_class(self, values: Tensor) -> Tensor:
        """Return values (batch, classes * vectors) as (batch, classes, vectors)."""
        return values.view(len(values), self.classes, -1)

    def _projected(self, unit: Tensor) -> Tensor:
        """Return the cosine of each embedding and its projection on each class's vectors."""
        vectors = normalize(self.centres, dim=1).view(self.classes, -1, unit.shape[1])
        shares = torch.einsum("be,cde->bcd", unit, vectors)
        projections = torch.einsum("bcd,cde->bce", shares, vectors)
        return torch.einsum("be,bce->bc", unit, normalize(projections, dim=2))

    def _with_margin(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """Return ArcFace's loss; a mixed clip's is the mean of those of its classes, by shares."""
        rows, columns = labels.nonzero(as_tuple=True)
        true = cosines[rows, columns].clamp(-1 + _EDGE, 1 - _EDGE)
        moved = torch.cos(torch.acos(true) + self.settings.margin)
        scale = self.scale.to(cosines.dtype)
        logits = scale * cosines[rows].scatter(1, columns[:, None], moved[:, None])
        losses = cross_entropy(logits, columns, reduction="none")
        return (labels[rows, columns] * losses).sum() / len(labels)

    def _next_scale(self, cosines: Tensor, labels: Tensor) -> float:
        """Return the scale that this batch gives: ln B / cos(min(pi/4, median true angle)).

        B is the batch's mean of the sum of exp(s cos): over the wrong classes for AdaCos, over all
        centres for sub-clusters. The median of an even batch is the mean of the middle two.
        """
        logits = self.scale * cosines.double()
        angles = torch.acos(cosines.double().clamp(-1, 1))
        if self.settings.name == "sub_cluster_adacos":
            angles = self._by_class(angles).mean(dim=2)
        else:
            logits = logits.masked_fill(labels >= 1, -math.inf)
        median = torch.quantile((labels * angles).sum(dim=1), 0.5)
        logarithm = torch.logsumexp(logits.flatten(), dim=0) - math.log(len(labels))
        return float(logarithm / torch.cos(median.clamp(max=math.pi / 4)))
