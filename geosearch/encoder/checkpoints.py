"""Trained heads and location encoder on disk: written whole, verified when read.

A checkpoint is a folder `transgeoclip-HASH` with `weights.safetensors`, `checkpoint.json` and
`MODEL_CARD.md`; the hash is of the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from geosearch import __version__
from geosearch.encoder.drafts import drafted_folder
from geosearch.encoder.features import check_encoder
from geosearch.encoder.identity import EncoderIdentity
from geosearch.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

    from geosearch.encoder.model import TransGeoClip

FORMAT = 1
"""Raised when the meaning of the weights or of checkpoint.json changes."""

PREFIX = "transgeoclip-"
WEIGHTS, DOCUMENT, CARD = "weights.safetensors", "checkpoint.json", "MODEL_CARD.md"
LATEST = "latest.json"
"""In the folder of a training: which checkpoint it has written last."""

LOCATION = "location."
"""How the names of the location encoder's tensors begin inside the model."""

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint.

    Args:
        folder: where it lies; its name holds the hash of the weights.
        encoder: identity of the frozen backbone it was trained on, as text, without heads.
        heads: hash of the heads' weights and shapes.
        location: hash of the location encoder's weights and shapes.
        document: everything in checkpoint.json.
    """

    folder: Path
    encoder: str
    heads: str
    location: str
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name under which it is listed and activated."""
        return self.folder.name

    @property
    def identity(self) -> EncoderIdentity:
        """The identity of the backbone together with these heads."""
        return replace(
            EncoderIdentity(*self.encoder.split("|")), heads=self.heads, location=self.location
        )


def backbone_identity(identity: EncoderIdentity) -> str:
    """The part of an identity that frozen features belong to, as text."""
    return str(replace(identity, heads="none", location="none"))


def tensors_hash(tensors: Mapping[str, Tensor], config: object) -> str:
    """Twelve hexadecimal digits of weights and shapes; the order of the names does not matter."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


def save_checkpoint(
    model: TransGeoClip,
    parent: Path,
    *,
    encoder: str,
    training: Mapping[str, Any],
    card: str,
) -> Checkpoint:
    """Write a model into a new folder of `parent`; it appears when it is whole.

    Args:
        model: heads and location encoder.
        parent: where the folder is made.
        encoder: identity of the frozen backbone, as text, without heads.
        training: what is to be kept of the training: config, data, metrics, versions.
        card: the model card in Markdown; `{name}` in it becomes the checkpoint's name.

    Raises:
        StorageFull: no room is left.
        ConfigError: the folder cannot be written.
    """
    from safetensors.torch import save

    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    heads = {name: value for name, value in tensors.items() if not name.startswith(LOCATION)}
    location = {name: value for name, value in tensors.items() if name.startswith(LOCATION)}
    shapes = {"heads": asdict(model.config), "location": asdict(model.location.config)}
    weights = save(tensors)
    sha256 = hashlib.sha256(weights).hexdigest()
    folder = parent / f"{PREFIX}{sha256[:12]}"
    document = {
        "format": FORMAT,
        "name": folder.name,
        "geosearch": __version__,
        "encoder": encoder,
        "heads": tensors_hash(heads, shapes["heads"]),
        "location": tensors_hash(location, shapes["location"]),
        "sha256": sha256,
        "bytes": len(weights),
        "shapes": shapes,
        "training": dict(training),
    }
    with drafted_folder(folder) as draft:
        (draft / WEIGHTS).write_bytes(weights)
        (draft / DOCUMENT).write_text(json.dumps(document, indent=2, allow_nan=False))
        (draft / CARD).write_text(card.replace("{name}", folder.name))
    return read_checkpoint(folder)


def read_checkpoint(folder: Path, *, encoder: str | None = None) -> Checkpoint:
    """Verify a checkpoint without loading it.

    Args:
        folder: as written by `save_checkpoint`.
        encoder: identity of the backbone that it must belong to.

    Raises:
        ConfigError: not there, of another version, or of another backbone.
        InvalidInput: truncated or changed.
    """
    document = _read_document(folder)
    if encoder is not None:
        check_encoder(folder, document["encoder"], encoder)
    path = folder / WEIGHTS
    size = path.stat().st_size if path.is_file() else 0
    if size != document["bytes"]:
        raise InvalidInput(
            f"{path} is truncated: it has {size} bytes, and {DOCUMENT} says {document['bytes']}; "
            "copy the checkpoint again"
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != document["sha256"]:
        raise InvalidInput(
            f"{path} was changed: its sha256 begins with {sha256[:12]}, and {DOCUMENT} says "
            f"{document['sha256'][:12]}; copy the checkpoint again"
        )
    return Checkpoint(
        folder, document["encoder"], document["heads"], document["location"], document
    )


def load_checkpoint(folder: Path, *, encoder: str | None = None) -> TransGeoClip:
    """Verify a checkpoint and load it, on the CPU, in eval mode.

    Raises:
        ConfigError: not there, of another version, or of another backbone.
        InvalidInput: truncated or changed.
    """
    from safetensors.torch import load_file

    from geosearch.encoder.location import LocationConfig, LocationEncoder
    from geosearch.encoder.model import ModelConfig, TransGeoClip

    checkpoint = read_checkpoint(folder, encoder=encoder)
    shapes = checkpoint.document["shapes"]
    try:
        location = LocationEncoder(
            config_of(LocationConfig, shapes["location"]), weights_follow=True
        )
        model = TransGeoClip(config_of(ModelConfig, shapes["heads"]), location)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"{folder} was written by geosearch {checkpoint.document['geosearch']} and does not "
            f"fit this version, {__version__}: {str(error).splitlines()[0][:200]}; train again or "
            "use that version"
        ) from error
    return model.eval()


def trained_checkpoint(folder: Path) -> Path:
    """The checkpoint that a training has left in its folder; a checkpoint's own folder is itself.

    Raises:
        ConfigError: the training in there has not finished.
        InvalidInput: its pointer is damaged.
    """
    pointer = folder / LATEST
    if (folder / DOCUMENT).exists():
        return folder
    try:
        return folder / str(json.loads(pointer.read_text())["checkpoint"])
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder} holds no finished training and no checkpoint; finish it with "
            "`geosearch train --resume`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{pointer} is damaged; name the folder of the checkpoint") from error


def config_of(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A config from its JSON form, where tuples are lists."""
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _read_document(folder: Path) -> dict[str, Any]:
    path = folder / DOCUMENT
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise ConfigError(
                f"{folder} is a checkpoint of format {document['format']}, and this version, "
                f"{__version__}, reads format {FORMAT}; train again or use another version"
            )
        for name in ("name", "geosearch", "encoder", "heads", "location", "sha256", "bytes"):
            document[name]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"{folder} holds no checkpoint; name a folder with {DOCUMENT}, as `geosearch train` "
            "writes it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise InvalidInput(f"{path} is damaged; copy the checkpoint again") from error
    return document
