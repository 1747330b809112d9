"""Several seeds become several trained autoencoders, as many at a time as there are cores.

Input: the frames of a machine's normal clips and the seeds. Output: one `TrainedAutoencoder` per
seed. Each training has one thread, and torch uses one thread in it: this gives the same numbers on
any number of cores. For products this small more threads of torch save no time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from pathlib import Path

import torch

from firstshot.autoencoder.features import TrainingFrames
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.autoencoder.training import TrainedAutoencoder, TrainingStoppedError, train
from firstshot.torch_states import one_thread


def train_trials(
    data: TrainingFrames,
    seeds: Sequence[int],
    settings: TrainingSettings | None = None,
    *,
    checkpoints: Sequence[Path | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[TrainedAutoencoder]:
    """Train one autoencoder per seed, in the order of the seeds.

    Parameters
    ----------
    data : TrainingFrames
        The normal clips.
    seeds : sequence of int
        One per trial.
    settings : TrainingSettings, optional
        None means those of the release.
    checkpoints : sequence of Path or None, optional
        The file of each trial's last epoch, see `train`.
    progress : callable, optional
        Called with (epochs done, epochs in all), over all trials.
    workers : int, optional
        Trials at a time; None means one per core.
    """
    settings = settings or TrainingSettings()
    done = dict.fromkeys(range(len(seeds)), 0)
    lock, stop = threading.Lock(), threading.Event()

    def count(trial: int, epochs: int) -> None:
        with lock:
            done[trial] = epochs
            if progress is not None:
                progress(sum(done.values()), settings.epochs * len(seeds))

    def run(trial: int) -> TrainedAutoencoder:
        path = checkpoints[trial] if checkpoints else None
        on_epoch = partial(count, trial)
        return train(data, seeds[trial], settings, checkpoint=path, on_epoch=on_epoch, stop=stop)

    with (
        one_thread(),
        ThreadPoolExecutor(
            workers or os.cpu_count() or 1, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool,
    ):
        futures = [pool.submit(copy_context().run, run, trial) for trial in range(len(seeds))]
        try:
            finished = wait(futures, return_when=FIRST_EXCEPTION).done
        finally:
            # Also on Ctrl-C: a training would otherwise continue to its last epoch.
            if not all(future.done() and future.exception() is None for future in futures):
                stop.set()
        for future in finished:
            if (error := future.exception()) and not isinstance(error, TrainingStoppedError):
                raise error
        return [future.result() for future in futures]
