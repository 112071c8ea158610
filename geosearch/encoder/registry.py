"""The checkpoints of one home: listed, activated, dropped.

Collections and aliases are not known here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from geosearch.encoder.checkpoints import (
    CARD,
    DOCUMENT,
    PREFIX,
    WEIGHTS,
    Checkpoint,
    backbone_identity,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    trained_checkpoint,
)
from geosearch.encoder.drafts import drafted_file, drafted_folder
from geosearch.errors import ConfigError, InvalidInput

__all__ = [
    "Checkpoint",
    "Registry",
    "backbone_identity",
    "load_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
    "trained_checkpoint",
]


class Registry:
    """The checkpoints of one home: `HOME/encoders`, and which of them is active.

    Args:
        home: GEOSEARCH_HOME; nothing is created before the first checkpoint is added.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "encoders"
        self._active = self.folder / "active.json"

    def names(self) -> list[str]:
        """The names of all checkpoints here, verified or not."""
        return sorted(path.name for path in self.folder.glob(f"{PREFIX}*") if path.is_dir())

    def get(self, name: str) -> Checkpoint:
        """A checkpoint here by its name, or by as much of its hash as is unambiguous.

        Raises:
            ConfigError: none or several have that name, or it is of another version.
            InvalidInput: it is truncated or changed.
        """
        return read_checkpoint(self.folder / self._name(name))

    def active(self) -> Checkpoint | None:
        """The active checkpoint; None where the backbone stands alone.

        Raises:
            ConfigError: the active one is gone or of another version.
            InvalidInput: it is truncated or changed, or active.json is.
        """
        name = self.active_name()
        return None if name is None else read_checkpoint(self.folder / name)

    def active_name(self) -> str | None:
        """The name of the active checkpoint, not looked at."""
        try:
            name = json.loads(self._active.read_text())["active"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{self._active} is damaged; run `geosearch encoders activate NAME` to write it "
                "anew"
            ) from error
        return None if name is None else str(name)

    def add(self, folder: Path) -> Checkpoint:
        """Copy a checkpoint from elsewhere; one that is here already stays as it is.

        Raises:
            ConfigError: there is none in `folder`, or it is of another version.
            InvalidInput: it is truncated or changed.
            StorageFull: no room is left.
        """
        checkpoint = read_checkpoint(folder)
        target = self.folder / str(checkpoint.document["name"])
        if not target.is_dir():
            with drafted_folder(target) as draft:
                for name in (WEIGHTS, DOCUMENT, CARD):
                    if (folder / name).is_file():
                        shutil.copyfile(folder / name, draft / name)
        return read_checkpoint(target)

    def activate(self, name: str | None, *, encoder: str | None = None) -> Checkpoint | None:
        """Make a checkpoint the active one; None goes back to the backbone alone.

        Args:
            name: of a checkpoint that is here.
            encoder: identity of the backbone that it must belong to.

        Raises:
            ConfigError: no such checkpoint, or of another version or backbone.
            InvalidInput: it is truncated or changed.
        """
        found = None
        if name is not None:
            found = read_checkpoint(self.folder / self._name(name), encoder=encoder)
        with drafted_file(self._active) as draft:
            draft.write_text(json.dumps({"active": None if found is None else found.name}))
        return found

    def drop(self, name: str) -> str:
        """Delete a checkpoint that is not active, and return its name.

        Raises:
            ConfigError: no such checkpoint, or it is active.
        """
        name = self._name(name)
        if name == self.active_name():
            raise ConfigError(
                f"{name} is active; run `geosearch encoders activate none`, or activate another "
                "first"
            )
        shutil.rmtree(self.folder / name)
        return name

    def _name(self, name: str) -> str:
        names = self.names()
        found = [n for n in names if name == n] or [
            n for n in names if name and n.removeprefix(PREFIX).startswith(name)
        ]
        if len(found) != 1:
            raise ConfigError(
                f"{'several' if found else 'no'} encoders are named {name!r}; there are: "
                f"{', '.join(names) or 'none; `geosearch train` makes one'}"
            )
        return found[0]
