"""Trials of an ablation, kept on disk by everything that they depend on, and found again.

What a trial is, is said in `ablation`; what comes out of many, in `ablation_report`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.location import LocationConfig
from geosearch.errors import InvalidInput
from geosearch.evaluation.ablation import Task, Trial, Variant, run_trial
from geosearch.evaluation.datasets import Query
from geosearch.geo import Coordinate

if TYPE_CHECKING:
    from geosearch.encoder.location import LocationEncoder

VERSION = 1
"""Part of the key of a kept trial; raised when the code changes what a trial comes to."""


@dataclass(frozen=True, slots=True)
class Part:
    """Variants that are compared on one task.

    Round r trains every variant with seed r and asks it fold r of the task, beginning again after
    the last fold.

    Args:
        key: in names of files.
        title: of the section.
        task: what is learned and asked.
        variants: what is trained.
        rounds: trainings of each variant.
        pairs: methods to compare, the one and the other.
        look_alikes: of each query, by its id; only queries that have some are then asked.

    Raises:
        InvalidInput: no round.
    """

    key: str
    title: str
    task: Task
    variants: tuple[Variant, ...]
    rounds: int
    pairs: tuple[tuple[str, str], ...]
    look_alikes: Mapping[str, tuple[Coordinate, ...]] | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InvalidInput(f"{self.rounds} rounds; give 1 or more")

    def fold(self, number: int) -> int:
        """The fold that is asked in a round."""
        return number % (int(self.task.fold.max()) + 1)

    def asked(self, number: int) -> tuple[Query, ...]:
        """The queries of a round, in the order of the answers of its trials."""
        return self.task.asked(self.fold(number))


class Trials:
    """Runs trials in scratch folders and keeps their answers.

    Args:
        folder: where they are kept.
        anchors: coordinates (count, 2) for so many anchors.
        base: a location encoder whose scale MLPs the variants begin with, to remember what they
            say of the coordinates of a task; None leaves every trial to compute it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        anchors: Callable[[int], NDArray[np.float32]] | None = None,
        base: Callable[[], LocationEncoder] | None = None,
    ) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._anchors = None if anchors is None else functools.cache(anchors)
        self._new_base = base
        self._bases: dict[str, LocationEncoder] = {}
        self._digests: dict[int, tuple[Task, tuple[str, str]]] = {}

    def path(self, part: Part, variant: Variant, number: int) -> Path:
        """Where a trial is kept: by everything that it depends on, but the variant's name."""
        return self._folder / f"{self._key(part, variant, number)}.npz"

    def run(self, part: Part, variant: Variant, number: int) -> Trial:
        """The trial of a round that is kept, or a new one."""
        path = self.path(part, variant, number)
        if path.exists():
            with np.load(path) as file:
                answers = {name: file[name] for name in file.files if name != "figures"}
                return Trial(answers, json.loads(str(file["figures"])))
        shared = Path("/dev/shm")  # a state of 200 MB each epoch is better not synced to a disk
        with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as scratch:
            trial = run_trial(
                part.task,
                variant,
                fold=part.fold(number),
                seed=number,
                scratch=Path(scratch),
                anchors=self._anchors,
                base=self._base(part.task),
            )
        draft = path.with_suffix(".tmp.npz")
        arrays = {"figures": np.array(json.dumps(dict(trial.figures)))} | dict(trial.answers)
        np.savez(draft, **arrays)  # type: ignore[arg-type]  # numpy has one hint for all keywords
        draft.rename(path)
        return trial

    def missing(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Variant, int]]:
        """What is not kept yet: of each part all variants of a round before the next round."""
        for part in parts:
            for number in range(part.rounds):
                for variant in part.variants:
                    if not self.path(part, variant, number).exists():
                        yield part, variant, number

    def _base(self, task: Task) -> LocationEncoder | None:
        """Scale MLPs with their tokens of a task's coordinates, made once for the task."""
        if self._new_base is None:
            return None
        if task.name not in self._bases:
            import torch

            base = self._new_base()
            known = [task.gallery, task.features.lat_lon]
            if self._anchors is not None:
                known.append(self._anchors(LocationConfig().anchors))
            base.freeze_scales(torch.from_numpy(np.concatenate(known)))
            self._bases = {task.name: base}  # of one task: some hundred megabytes
        return self._bases[task.name]

    def _key(self, part: Part, variant: Variant, number: int) -> str:
        settings = asdict(variant)
        del settings["name"]
        del settings["training"]["device"]
        features, folds = self._digest(part.task)
        settings |= {
            "task": part.task.name,
            "features": features,
            "folds": folds,
            "fold": part.fold(number),
            "seed": number,
            "trials": VERSION,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]

    def _digest(self, task: Task) -> tuple[str, str]:
        """Fingerprints of the features of a task and of its folds and gallery."""
        if id(task) not in self._digests:
            folds = hashlib.sha256(task.fold.tobytes() + task.gallery.tobytes()).hexdigest()
            self._digests[id(task)] = (task, (task.features.fingerprint(), folds))
        return self._digests[id(task)][1]
