"""What a training leaves on disk after each epoch, and how the next call takes it up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from geosearch.encoder.drafts import drafted_file
from geosearch.encoder.recipe import LOWER_IS_BETTER, TrainingConfig
from geosearch.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from geosearch.encoder.model import TransGeoClip

STATE = "state.pt"


@dataclass(slots=True)
class TrainingState:
    """Model, optimizer and the record of the epochs, kept in a folder.

    `state.pt` is replaced as a whole after each epoch; the weights of the best epoch lie beside it
    under its number. Killed at any moment, the folder holds the last epoch that was saved.

    Args:
        folder: of this training alone.
        config: as given.
        fingerprint: of the data.
        model: in training.
        optimizer: over the model's parameters.
    """

    folder: Path
    config: TrainingConfig
    fingerprint: str
    model: TransGeoClip
    optimizer: torch.optim.Optimizer
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def has_stalled(self) -> bool:
        """None of the last few epochs was better than the best before."""
        return len(self.epochs) - self.best_epoch >= self.config.patience

    @property
    def is_finished(self) -> bool:
        """All epochs are done, or it is not getting better."""
        return len(self.epochs) >= self.config.epochs or self.has_stalled

    def record(self, epoch: Mapping[str, float]) -> bool:
        """Take down the metrics of an epoch; whether it is the best so far."""
        self.epochs.append(dict(epoch))
        name = self.config.monitor
        now, best = epoch[name], self.epochs[self.best_epoch - 1][name]
        is_best = self.best_epoch == 0 or (now < best if name in LOWER_IS_BETTER else now > best)
        if is_best:
            self.best_epoch = len(self.epochs)
        return is_best

    def save(self) -> None:
        """Put the folder into the state after the last epoch.

        Raises:
            StorageFull: no room is left.
            ConfigError: the folder cannot be written.
        """
        # First the weights under a name that no state mentions yet, then the state that does.
        if self.best_epoch == len(self.epochs):
            with drafted_file(self._best_file) as draft:
                torch.save(self.model.state_dict(), draft)
        with drafted_file(self.folder / STATE) as draft:
            torch.save(
                {
                    "config": self._comparable(),
                    "data": self.fingerprint,
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "epochs": self.epochs,
                    "best_epoch": self.best_epoch,
                },
                draft,
            )
        for path in self.folder.glob("best-*.pt"):
            if path != self._best_file:
                path.unlink()

    def restore(self) -> None:
        """Take up what the folder holds; nothing happens where it holds nothing.

        Raises:
            ConfigError: it belongs to another config or to other data.
            InvalidInput: it is damaged or of another version.
        """
        path = self.folder / STATE
        if not path.exists():
            return
        state = _load(path)
        try:
            self._check(path, state["data"], json.loads(state["config"]))
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epochs, self.best_epoch = list(state["epochs"]), int(state["best_epoch"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise InvalidInput(
                f"{path} does not fit this model or this version; start anew in another folder"
            ) from error

    def take_best(self) -> None:
        """Give the model the weights of the best epoch.

        Raises:
            InvalidInput: their file is missing or damaged.
        """
        self.model.load_state_dict(_load(self._best_file))

    @property
    def _best_file(self) -> Path:
        return self.folder / f"best-{self.best_epoch:04d}.pt"

    def _check(self, path: Path, fingerprint: str, config: Mapping[str, Any]) -> None:
        if fingerprint != self.fingerprint:
            raise ConfigError(
                f"{path} belongs to other data (fingerprint {fingerprint}, now "
                f"{self.fingerprint}); give the same features, or another output"
            )
        for name, value in json.loads(self._comparable()).items():
            if config.get(name) != value:
                raise ConfigError(
                    f"{path} was made with {name} {config.get(name)}, and now it is {value}; give "
                    "the same options to resume, or another output to start anew"
                )

    def _comparable(self) -> str:
        """Everything that must not change between two calls; the device may."""
        config = asdict(self.config)
        del config["device"]
        shapes = {
            "heads": asdict(self.model.config),
            "location": asdict(self.model.location.config),
        }
        return json.dumps(config | {"shapes": shapes})


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # torch raises another kind for each way in which a file can be damaged.
    except Exception as error:
        raise InvalidInput(f"{path} is missing or damaged; start anew in another folder") from error
