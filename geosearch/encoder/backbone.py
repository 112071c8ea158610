"""CLIP backbones by open_clip: any architecture, published or local weights. Its sole importer."""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.preprocess import Preprocess
from geosearch.errors import ConfigError, MissingWeights

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class ClipBackbone:
    """A CLIP model by open_clip, named ``architecture/pretrained``.

    Args:
        spec: `pretrained` is a tag of open_clip (``ViT-L-14/openai``) or the path of a local
            checkpoint (``ViT-L-14//models/vit_l_14.safetensors``).

    Raises:
        ConfigError: the architecture or the tag does not exist, or the model resizes pictures in a
            way that `Preprocess` does not know.
        MissingWeights: the weights are neither on this machine nor to be fetched.
    """

    may_be_halved = True
    has_joint_space = True

    def __init__(self, spec: str) -> None:
        architecture, _, pretrained = spec.partition("/")
        if not pretrained:
            raise ConfigError(
                f"GEOSEARCH_ENCODER={spec!r} is not known; use 'lite', or architecture/pretrained "
                "as in 'ViT-L-14/openai' or 'ViT-L-14//path/to/checkpoint.safetensors'"
            )
        import open_clip
        import torch

        if architecture not in open_clip.list_models():
            raise ConfigError(
                f"GEOSEARCH_ENCODER={spec!r}: open_clip has no architecture {architecture!r}; "
                "`python -c 'import open_clip; print(open_clip.list_models())'` lists them"
            )
        path = Path(pretrained)
        is_file = path.suffix != "" or pretrained.startswith(("/", ".", "~"))
        if is_file:
            path = path.expanduser()
            if not path.is_file():
                raise MissingWeights(_missing(spec, looked_at=str(path)))
            pretrained = str(path)
        elif pretrained not in open_clip.list_pretrained_tags_by_model(architecture):
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
            raise ConfigError(
                f"GEOSEARCH_ENCODER={spec!r}: open_clip has no weights {pretrained!r} for "
                f"{architecture}; it has: {tags}"
            )
        self._model = _load(open_clip, spec, architecture, pretrained)
        self._tokenize = open_clip.get_tokenizer(architecture)
        visual = self._model.visual
        self.name = architecture
        self.weights = _fingerprint(path) if is_file else pretrained
        self.activation = _activation(self._model)
        self.preprocess = _preprocess(spec, open_clip.get_model_preprocess_cfg(self._model))
        self.image_dim = self.text_dim = int(visual.output_dim)
        self._device = torch.device("cpu")
        self._dtype = torch.float32

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move both towers."""
        self._model.to(device=device, dtype=dtype)
        self._device, self._dtype = device, dtype

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) float32 to (n, image_dim)."""
        features: torch.Tensor = self._model.encode_image(pixels.to(self._device, self._dtype))
        return features.float()  # (n, image_dim)

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to (n, text_dim) float32; longer ones are cut at the context length."""
        import torch

        with torch.inference_mode():
            tokens = self._tokenize(list(texts)).to(self._device)  # (n, context)
            features = self._model.encode_text(tokens).float().cpu().numpy()
        return np.asarray(features, dtype=np.float32)


def untrained_clip(architecture: str) -> Any:
    """A model of open_clip with random weights, for timing what needs no knowledge."""
    import open_clip

    return open_clip.create_model(architecture, load_weights=False).eval()


def _load(open_clip: Any, spec: str, architecture: str, pretrained: str) -> Any:
    """The model in eval mode; OpenAI's own weights get the activation they were trained with."""
    try:
        with warnings.catch_warnings():
            # open_clip warns of the very mismatch that force_quick_gelu repairs.
            warnings.filterwarnings("ignore", message="(?i).*quick_?gelu.*")
            model = open_clip.create_model(
                architecture,
                pretrained=pretrained,
                force_quick_gelu=pretrained == "openai",
                require_pretrained=True,
            )
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        cache = Path("~/.cache/huggingface/hub").expanduser()
        looked_at = pretrained if Path(pretrained).is_file() else f"{cache} and the model hub"
        logger.debug("loading %s failed", spec, exc_info=error)
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise MissingWeights(_missing(spec, looked_at=looked_at, reason=reason)) from error
    return model.eval()


def _missing(spec: str, *, looked_at: str, reason: str = "no such file") -> str:
    return (
        f"GEOSEARCH_ENCODER={spec}: the weights could not be loaded from {looked_at} ({reason}); "
        "connect once to fetch them, name a checkpoint as GEOSEARCH_ENCODER=ARCHITECTURE//PATH, "
        "or set GEOSEARCH_ENCODER=lite, which works offline"
    )


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _activation(model: Any) -> str:
    """`quickgelu` or `gelu`; the two give silently different features from the same weights."""
    names = {type(module).__name__ for module in model.modules()}
    return "quickgelu" if "QuickGELU" in names else "gelu"


def _preprocess(spec: str, config: dict[str, Any]) -> Preprocess:
    # Older architectures carry only size, mean and std; these are open_clip's own defaults.
    config = {"resize_mode": "shortest", "interpolation": "bicubic"} | config
    size = config["size"]
    size = size if isinstance(size, int) else size[0] if len(set(size)) == 1 else 0
    if (
        not size
        or config["resize_mode"] not in ("shortest", "squash")
        or config["interpolation"] not in ("bicubic", "bilinear")
    ):
        raise ConfigError(
            f"GEOSEARCH_ENCODER={spec!r} prepares pictures in a way not supported here "
            f"({config}); choose a model with square input, resized by 'shortest' or 'squash'"
        )
    return Preprocess(
        size=size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        resize_mode=config["resize_mode"],
    )
