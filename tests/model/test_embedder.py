import numpy as np
import pytest
import torch
from pyarrow.parquet import read_schema

from pelage.common.errors import PelageError
from pelage.common.tables import read_parquet
from pelage.model.embedder import AveragePooling, Embedder, GemPooling, GridPooling, load_model, save_model
from pelage.model.embeddings import embed_images, write_embeddings

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


def test_gem_is_the_mean_at_1_and_the_maximum_far_up():
    features = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(GemPooling(1.0)(features), AveragePooling()(features))
    torch.testing.assert_close(GemPooling(400.0)(features.double()), features.amax((2, 3)), rtol=0.02, atol=0.01)
    # by hand, p = 3: ((1 + 8) / 2) ** (1 / 3)
    torch.testing.assert_close(GemPooling()(torch.tensor([[[[1.0, 2.0]]]])), torch.tensor([[4.5 ** (1 / 3)]]))


def test_grid_pooling_keeps_what_lies_where():
    features = torch.arange(2 * 4 * 6, dtype=torch.float32).view(1, 2, 4, 6)
    pooled = GridPooling(2, 3)(features).view(2, 2, 3)
    # by hand: the first cell of the first map holds 0, 1, 6, 7; the last of the second 40, 41, 46, 47
    assert pooled[0, 0, 0] == 3.5 and pooled[1, 1, 2] == 43.5
    torch.testing.assert_close(GridPooling(1, 1)(features), AveragePooling()(features))


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


def test_unfit_networks_and_poolings_are_told():
    with pytest.raises(PelageError, match=r"model.pooling is 'max'.*avg, gem"):
        Embedder({**CONFIG, "pooling": "max"}, 3)
    for grid in (4, [2], [2, 0], [True, 2]):
        with pytest.raises(PelageError, match=r"model.grid is .*such as \[2, 4\]"):
            Embedder({**CONFIG, "pooling": "grid", "grid": grid}, 3)
    transformer = Embedder({**CONFIG, "backbone": "test_vit"}, 3)
    with pytest.raises(PelageError, match="not feature maps"):
        transformer(torch.zeros(1, 3, 160, 160, dtype=torch.uint8))


def test_the_table_has_lists_of_fixed_size(tmp_path):
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    for ids, values in ((["a", "b"], points), ([], points[:0])):
        write_embeddings(tmp_path / "t.parquet", ids, values, 3)
        table = read_parquet(tmp_path / "t.parquet")
        assert table["crop_id"].tolist() == ids
        np.testing.assert_array_equal(np.array(table["embedding"].to_list()).reshape(-1, 3), values)
        stored = read_schema(tmp_path / "t.parquet").field("embedding").type
        assert stored.list_size == 3 and str(stored.value_type) == "float"
