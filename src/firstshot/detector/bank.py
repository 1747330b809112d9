"""The bank of a detector as its user edits it: clips are added, removed, merged and reduced.

Input: clips, names, or another detector. Output: the same detector with another record; see
`firstshot.detector.fitted.edits`. Where an edit raises an error, the detector stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from firstshot.detector.addition import Addition, compare_addition, embed_additions
from firstshot.detector.embedding import Clip, EmbeddedClip
from firstshot.detector.estimator import Estimator
from firstshot.detector.fitted import FittedDetector, edits
from firstshot.detector.inspection import Inspection, inspect_bank
from firstshot.detector.sources import Sources, list_clips
from firstshot.errors import ParameterError
from firstshot.progress import Progress
from firstshot.store import EmbeddingStore


class EditableBank(Estimator):
    """A detector whose normal clips can be edited once it is fitted."""

    fitted_: FittedDetector

    def add(
        self,
        clips: Sources,
        *,
        domain: str = "source",
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Self:
        """Add normal clips to the bank of a domain; the other arguments are those of `fit`.

        The result equals a fit on all the clips, and the threshold is set anew by the method and
        rate that it had. Each clip's origin is kept, see `members`. Where the learned clips have
        one length, a clip more than 1.5 times as long is added as windows of that length.

        Raises
        ------
        ParameterError
            A clip of that name is in the domain's bank already.
        """
        clips, embedded = self._embed(clips, domain, sample_rate, store, progress, workers)
        self.fitted_ = edits.add_clips(self.fitted_, embedded, domain, edits.origin_of(clips))
        return self

    def preview_add(
        self,
        clips: Sources,
        *,
        domain: str = "source",
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Addition:
        """Return what `add` would do to the threshold and to false alarms; nothing changes."""
        clips, embedded = self._embed(clips, domain, sample_rate, store, progress, workers)
        after = edits.add_clips(self.fitted_, embedded, domain, edits.origin_of(clips))
        return compare_addition(self.fitted_, after, embedded, domain)

    def _embed(
        self,
        clips: Sources,
        domain: str,
        sample_rate: int | None,
        store: EmbeddingStore | None,
        progress: Progress | None,
        workers: int | None,
    ) -> tuple[list[Clip], list[EmbeddedClip]]:
        """Return clips that are not in the bank yet, and their embeddings."""
        fitted = self._fitted()
        edits.check_domain(domain)
        found = edits.number_on(fitted, list_clips(clips, self._rate(sample_rate)), domain)
        edits.check_new(fitted, (clip.name for clip in found), domain)
        return found, embed_additions(fitted, found, store, progress, workers)

    def remove(self, names: str | Iterable[str], *, domain: str | None = None) -> Self:
        """Remove clips by name, from one domain or (None) from both; see `add`."""
        names = [names] if isinstance(names, str) else names
        self.fitted_ = edits.remove_clips(self._fitted(), names, domain)
        return self

    def reduce(
        self, size: int, *, method: str = "kmeans", domain: str | None = None, seed: int = 0
    ) -> Self:
        """Keep at most `size` members of one domain, or (None) of each; see `add`.

        `method` is `kmeans`, which follows where the clips are dense, or `k_center`, which keeps
        rare conditions. The threshold then rests on the clips that are kept.
        """
        self.fitted_ = edits.reduce_members(self._fitted(), size, method, domain, seed)
        return self

    def merge(self, other: EditableBank, *, source: str = "another detector") -> Self:
        """Add the bank of a detector that was fitted with the same settings; see `add`.

        `source` is kept as the origin of its clips. Raises ParameterError naming a setting that
        differs, or a clip that is in both banks.
        """
        if not isinstance(other, EditableBank):
            raise ParameterError(
                f"a {type(other).__name__} cannot be merged into a bank; give a Detector"
            )
        self.fitted_ = edits.merge_detectors(
            self._fitted(), other._fitted(), edits.origin_now(source)
        )
        return self

    def members(self) -> tuple[edits.BankClip, ...]:
        """Return the normal clips in the bank, source first, each with its origin."""
        return edits.list_bank(self._fitted())

    def inspect(self) -> Inspection:
        """Return what is unusual in the bank: clips unlike the others, near-copies, odd clips."""
        return inspect_bank(self._fitted())

    def _fitted(self) -> FittedDetector:
        self._check_fitted()
        return self.fitted_
