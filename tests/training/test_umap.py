from types import SimpleNamespace

import numpy as np
import torch

from pelage.training.umap import lay_out, umap_table


def clusters(count, size):
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(count, 16)), size, axis=0) + 0.1 * rng.normal(size=(count * size, 16))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_what_is_near_stays_near_and_the_same_points_give_the_same_picture():
    points, groups = clusters(4, 12), np.repeat(np.arange(4), 12)
    places = lay_out(points, None, seed=1)
    assert places.dtype == np.float32 and np.array_equal(places, lay_out(points, None, seed=1))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(48, np.inf))
    assert (groups[distances.argmin(axis=1)] == groups).all()
    assert np.isfinite(lay_out(clusters(3, 1), None, seed=1)).all()


def test_a_picture_goes_on_from_where_it_was():
    """Points along an arc hold together, so that nothing turns round; clusters far apart may drift."""
    angle = np.linspace(0, 2, 48)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    before = np.stack([10 * angle, np.zeros(48)], axis=1).astype(np.float32)
    for start in (before, before[:, ::-1], -before):
        after = lay_out(points, np.ascontiguousarray(start), seed=1)
        axis = int(np.ptp(start, axis=0).argmax())
        assert np.corrcoef(start[:, axis], after[:, axis])[0, 1] > 0.9


def test_the_table_names_queries_and_gallery():
    validation = SimpleNamespace(queries=np.array([2, 0]), gallery=np.array([1]))
    data = SimpleNamespace(ids=("a#0", "b#0", "c#0"), validation=validation)
    places = torch.arange(6.0).reshape(3, 2)
    table = umap_table(data, {4: places, 8: -places})
    assert table["epoch"].tolist() == [4] * 3 + [8] * 3 and table["crop_id"].tolist() == ["c#0", "a#0", "b#0"] * 2
    assert table[["x", "y"]].to_numpy().tolist() == [*places.tolist(), *(-places).tolist()]
    empty = umap_table(None, {})
    assert empty.empty and empty.dtypes.tolist() == table.dtypes.tolist()
