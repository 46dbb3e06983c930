import numpy as np
import pytest
import torch

from pelage.common.errors import PelageError
from pelage.model.embedder import Embedder, embedding_head, load_model, save_model
from pelage.model.embeddings import embed_images

CONFIG = {
    "backbone": "test_efficientnet",
    "stride": "none",
    "pooling": "avg",
    "grid": [2, 3],
    "dim": 8,
    "dropout": 0.0,
    "batch_norm": False,
}
ABOUT = {"trained": True, "model": CONFIG, "channels": 4, "part": "flank", "view": "crop_edge"}


def images(count=5, channels=4):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 48, channels), np.uint8)


def test_pixels_are_normalised_by_imagenet_and_the_edge_channel_by_the_paper():
    torch.manual_seed(0)
    embedder = Embedder(CONFIG, 4).eval()
    seen = []
    embedder.backbone.forward_features = lambda x: seen.append(x) or torch.zeros(1, 256, 1, 1)
    embedder(torch.tensor([0, 255, 51, 102], dtype=torch.uint8).view(1, 4, 1, 1))
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225, (0.4 - 0.456) / 0.225]
    torch.testing.assert_close(seen[0].flatten(), torch.tensor(expected))


@pytest.mark.parametrize(
    "changes", [{}, {"pooling": "gem", "batch_norm": True, "dropout": 0.5}, {"pooling": "grid", "stride": 16}]
)
def test_a_saved_model_is_the_same_model(tmp_path, changes):
    torch.manual_seed(0)
    about = {**ABOUT, "model": {**CONFIG, **changes}}
    embedder = Embedder(about["model"], 4).to(memory_format=torch.channels_last)
    path = tmp_path / "model.safetensors"
    save_model(path, embedder.state_dict(), about)
    first = path.read_bytes()
    save_model(path, dict(reversed(embedder.state_dict().items())), dict(reversed(about.items())))
    assert path.read_bytes() == first
    again, told = load_model(path)
    assert told == about and not again.training
    cpu = torch.device("cpu")
    points = embed_images(embedder, images(), 2, cpu)  # another memory format may round differently
    np.testing.assert_allclose(embed_images(again, images(), 2, cpu), points, rtol=0, atol=1e-6)
    assert embedder.training  # its mode is kept


def test_embeddings_have_length_one_and_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    embedder = Embedder(CONFIG, 4)
    points = embed_images(embedder, images(), 5, torch.device("cpu"))
    assert points.shape == (5, 8) and points.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(points, embed_images(embedder, images(), 2, torch.device("cpu")), atol=1e-5)


def test_an_untrained_model_is_an_empty_file_that_says_why(tmp_path):
    save_model(tmp_path / "m.safetensors", {}, {**ABOUT, "trained": False, "reason": "no crops"})
    model, about = load_model(tmp_path / "m.safetensors")
    assert model is None and about["reason"] == "no crops"


def test_other_files_are_refused(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"no model")
    with pytest.raises(PelageError, match="not a model written by the stage train"):
        load_model(tmp_path / "m.safetensors")
    with pytest.raises(PelageError, match="missing: run the stage train"):
        load_model(tmp_path / "none.safetensors")


def test_unfit_poolings_and_sizes_are_told():
    with pytest.raises(PelageError, match=r"model.pooling is 'max'.*avg, cls, gem, grid"):
        Embedder({**CONFIG, "pooling": "max"}, 3)
    for grid in (4, [2], [2, 0], [True, 2]):
        with pytest.raises(PelageError, match=r"model.grid is .*such as \[2, 4\]"):
            Embedder({**CONFIG, "pooling": "grid", "grid": grid}, 3)
    with pytest.raises(PelageError, match="'cls', but test_efficientnet has no class token"):
        Embedder({**CONFIG, "pooling": "cls"}, 3)
    with pytest.raises(PelageError, match=r"model.width is 100.*16 pixels long.*Set it to 96 or 112"):
        Embedder({**CONFIG, "backbone": "vit_tiny_patch16_224", "width": 100, "height": 64}, 3)
    with pytest.raises(PelageError, match=r"does not take images of 100 x 64 pixels.*divisible"):
        Embedder({**CONFIG, "backbone": "test_vit", "width": 100, "height": 64}, 3)
    with pytest.raises(PelageError, match=r"does not take images of 200 x 64|for 200 x 64"):
        Embedder({**CONFIG, "backbone": "test_maxvit", "width": 200, "height": 64}, 3)
    with pytest.raises(PelageError, match=r"model.normalise is 'no'"):
        Embedder({**CONFIG, "normalise": "no"}, 3)


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [("half", [-1, 1, 0.2 / 0.5 - 1]), ("backbone", [-0.48145466 / 0.26862954, (1 - 0.4578275) / 0.26130258, None])],
)
def test_pixels_may_be_normalised_as_the_backbone_was_trained(normalise, expected):
    name = "test_vit" if normalise == "half" else "vit_base_patch32_clip_224.openai"
    embedder = Embedder({**CONFIG, "backbone": name, "normalise": normalise}, 4)
    pixels = torch.tensor([0, 255, 51, 102], dtype=torch.uint8).view(1, 4, 1, 1)
    seen = ((pixels - embedder.mean) / embedder.std).flatten().tolist()
    for value, wanted in zip(seen, expected, strict=False):
        assert wanted is None or value == pytest.approx(wanted, abs=1e-6)
    assert seen[3] == pytest.approx((0.4 - 0.456) / 0.225, abs=1e-6)  # the edge channel's are always the paper's


def test_the_head_by_hand():
    """Two layers: relu(x A + a) B + b."""
    head = embedding_head(2, {**CONFIG, "dim": 1, "depth": 2, "hidden": 2}).eval()
    with torch.no_grad():
        head[1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        head[1].bias.copy_(torch.tensor([1.0, 1.0]))
        head[5].weight.copy_(torch.tensor([[2.0, 10.0]]))
        head[5].bias.copy_(torch.tensor([0.5]))
    # hidden: relu(3 + 1), relu(-4 + 1) = 4, 0; out: 2 * 4 + 10 * 0 + 0.5
    torch.testing.assert_close(head(torch.tensor([[3.0, 4.0]])), torch.tensor([[8.5]]))


def test_the_default_head_is_one_layer_with_its_old_names():
    config = {**CONFIG, "depth": 1, "hidden": 512}
    assert list(embedding_head(4, config).state_dict()) == ["1.weight", "1.bias"]
    deep = embedding_head(4, {**config, "depth": 3, "hidden": 6, "batch_norm": True})
    assert [tuple(deep[i].weight.shape) for i in (1, 5, 9)] == [(6, 4), (6, 6), (8, 6)]
    assert [type(layer).__name__ for layer in deep[:5]] == ["Dropout", "Linear", "BatchNorm1d", "ReLU", "Dropout"]


@pytest.mark.parametrize("dim", [16, 2048])
def test_dimensions(dim):
    assert embedding_head(4, {**CONFIG, "dim": dim, "depth": 1, "hidden": 1})(torch.zeros(2, 4)).shape == (2, dim)


def test_without_a_head_the_pooled_features_are_the_embedding():
    embedder = Embedder({**CONFIG, "depth": 0}, 3).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        features = embedder.backbone.forward_features((images - embedder.mean) / embedder.std)
        assert torch.equal(embedder(images), embedder.pooling(features))
        assert embedder(images).shape == (2, embedder.dim)


@pytest.mark.parametrize(("key", "value"), [("dim", 0), ("dim", 2.5), ("depth", True), ("hidden", 0), ("dropout", 1.0)])
def test_a_head_that_cannot_be_is_told(key, value):
    with pytest.raises(PelageError, match=rf"model.{key} is {value}"):
        embedding_head(4, {**CONFIG, "depth": 1, "hidden": 8, key: value})
