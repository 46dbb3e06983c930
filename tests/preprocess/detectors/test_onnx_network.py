"""ONNX networks: small graphs with known answers for each head, and the arithmetic of the projects that train them."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pelage.common.errors import PelageError
from pelage.preprocess.detectors import onnx_network
from pelage.preprocess.detectors.onnx_network import HEADS, Found, OnnxDetector, fit, recognise, suppress

THREE = "{0: 'animal', 1: 'person', 2: 'vehicle'}"
CELLS = 8 * 8 + 4 * 4 + 2 * 2
"""Cells of an input of 64 x 64 at strides 8, 16 and 32."""


def save(path: Path, nodes, constants, outputs, shape=(1, 3, 64, 64), metadata=None, kind=TensorProto.FLOAT, more=()):
    """Write a graph with the input `images`."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", kind, shape), *more],
        [helper.make_tensor_value_info(name, elem, dims) for name, elem, dims in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def returning(tmp_path):
    """Return a function that writes a network which returns given arrays, whatever it sees."""

    def make(outputs: dict[str, np.ndarray], dims=None, **options) -> Path:
        constants = {f"{name}_told": value for name, value in outputs.items()}
        nodes = [helper.make_node("Identity", [f"{name}_told"], [name]) for name in outputs]
        told = [
            (name, helper.np_dtype_to_tensor_dtype(value.dtype), dims or value.shape) for name, value in outputs.items()
        ]
        return save(tmp_path / "net.onnx", nodes, constants, told, **options)

    return make


def yolov5(rows: dict[int, list[float]], boxes: int = 3 * CELLS) -> np.ndarray:
    """Return (1, N, 8) with some rows x, y, w, h, objectness, three classes."""
    head = np.zeros((1, boxes, 8), np.float32)
    for row, values in rows.items():
        head[0, row] = values
    return head


def photo(width: int = 64, height: int = 64) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def rounded(found: list[Found]) -> list[tuple]:
    return [(one.category, round(one.score, 4), *(round(value, 3) for value in one.box)) for one in found]


ROWS = {
    3: [20, 30, 10, 20, 0.8, 0.1, 0.9, 0.2],  # person: .72
    7: [21, 30, 10, 20, 0.9, 0.9, 0.1, 0.0],  # animal: .81
    9: [22, 30, 10, 20, 0.9, 0.8, 0.1, 0.0],  # animal: .72, over the one before: (8 x 20) / (12 x 20) = .67
    11: [26, 30, 10, 20, 0.9, 0.7, 0.1, 0.0],  # animal: .63, over it by (5 x 20) / (15 x 20) = .33
    12: [50, 50, 4, 4, 0.04, 1.0, 0.0, 0.0],  # too unsure
    15: [50, 10, 8, 8, 0.5, 0.2, 0.1, 0.4],  # vehicle: .2
}
ANSWER = [
    ("animal", 0.81, 16, 20, 10, 20),
    ("person", 0.72, 15, 20, 10, 20),
    ("animal", 0.63, 21, 20, 10, 20),
    ("vehicle", 0.2, 46, 6, 8, 8),
]


def test_yolov5_and_yolox_multiply_objectness_and_class(returning):
    assert rounded(OnnxDetector(returning({"output": yolov5(ROWS)}))(photo())) == ANSWER
    assert rounded(OnnxDetector(returning({"output": yolov5(ROWS, CELLS)}))(photo())) == ANSWER


def test_yolov5_with_its_grids_beside(returning):
    """YOLOv5 before 6.1 also exports what each grid tells, (1, 3, h, w, 8)."""
    grids = {"a": np.zeros((1, 3, 8, 8, 8), np.float32), "b": np.zeros((1, 3, 4, 4, 8), np.float32)}
    assert rounded(OnnxDetector(returning({"output": yolov5(ROWS), **grids}))(photo())) == ANSWER


def test_yolov8_has_no_objectness(returning):
    head = np.zeros((1, 7, CELLS), np.float32)
    for row, (x, y, w, h, objectness, *classes) in ROWS.items():
        head[0, :, row] = [x, y, w, h, *(objectness * one for one in classes)]
    assert rounded(OnnxDetector(returning({"output0": head}))(photo())) == ANSWER


def test_end_to_end_gives_corners_and_is_not_suppressed(returning):
    head = np.zeros((1, 300, 6), np.float32)
    head[0, 0] = [16, 20, 26, 40, 0.81, 0]
    head[0, 1] = [17, 20, 27, 40, 0.75, 0]
    head[0, 2] = [0, 0, 64, 64, 0.6, 2]
    head[0, 3] = [0, 0, 64, 64, 0.6, 7]  # no class of these
    assert rounded(OnnxDetector(returning({"output0": head}))(photo())) == [
        ("animal", 0.81, 16, 20, 10, 20),
        ("animal", 0.75, 17, 20, 10, 20),
        ("vehicle", 0.6, 0, 0, 64, 64),
    ]


def test_rtdetr_gives_shares_of_a_stretched_photo(returning):
    head = np.zeros((1, 300, 7), np.float32)
    head[0, 5] = [0.5, 0.25, 0.2, 0.5, 0.1, 0.7, 0.0]
    head[0, 6] = [0.5, 0.25, 0.2, 0.5, 0.9, 0.7, 0.0]
    answer = [("animal", 0.9, 80, 0, 40, 50), ("person", 0.7, 80, 0, 40, 50)]
    assert rounded(OnnxDetector(returning({"output0": head}))(photo(200, 100))) == answer
    logits = np.log(np.maximum(head[..., 4:], 1e-30) / (1 - head[..., 4:]))
    two = {"logits": logits.astype(np.float32), "pred_boxes": head[..., :4]}
    assert rounded(OnnxDetector(returning(two))(photo(200, 100))) == answer


def test_labels_boxes_and_scores_with_the_size_as_an_input(tmp_path):
    """RT-DETR's own export multiplies its shares by the width and height that it is told."""
    sizes = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, (1, 2))
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["size", "size"], ["sides"], axis=1),
        helper.make_node("Unsqueeze", ["sides", "one"], ["each"]),
        helper.make_node("Mul", ["shares", "each"], ["boxes"]),
        helper.make_node("Identity", ["classes"], ["labels"]),
        helper.make_node("Identity", ["sure"], ["scores"]),
    ]
    constants = {
        "one": np.array([1]),
        "shares": np.array([[[0.25, 0.5, 0.5, 1.0], [0, 0, 1, 1]]], np.float32),
        "classes": np.array([[1, 0]]),
        "sure": np.array([[0.4, 0.9]], np.float32),
    }
    told = [("labels", TensorProto.INT64, (1, 2)), ("boxes", TensorProto.FLOAT, (1, 2, 4))]
    told += [("scores", TensorProto.FLOAT, (1, 2))]
    path = save(tmp_path / "a.onnx", nodes, constants, told, more=[sizes], metadata={"placing": "stretch"})
    assert rounded(OnnxDetector(path)(photo(200, 100))) == [
        ("animal", 0.9, 0, 0, 200, 100),
        ("person", 0.4, 50, 50, 50, 50),
    ]


def test_labels_boxes_and_scores_without_a_batch(returning):
    """As exports with YOLOv5's suppression inside have them: pixels of the letterboxed input."""
    boxes = {"boxes": np.array([[16, 24, 32, 40]], np.float32), "scores": np.array([0.5], np.float32)}
    network = OnnxDetector(returning({"scores": boxes["scores"], "labels": np.array([0]), "boxes": boxes["boxes"]}))
    assert rounded(network(photo(128, 64))) == [("animal", 0.5, 32, 16, 32, 32)]  # half as large, 16 grey rows above


def red_squares(path: Path, side: int | str = 64, channel: int = 0, scale: float = 1.0, **options) -> Path:
    """Write a YOLOv8 head that sees: each cell of stride 8 is as sure as its pixels are bright in one channel."""
    y, x = np.mgrid[4:64:8, 4:64:8].reshape(2, -1).astype(np.float32)
    boxes = np.stack([x, y, np.full(64, 8, np.float32), np.full(64, 8, np.float32)])[None]
    nodes = [
        helper.make_node("Slice", ["images", "first", "next", "channels"], ["red"]),
        helper.make_node("Mul", ["red", "scale"], ["scaled"]),
        helper.make_node("AveragePool", ["scaled"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["pooled", "flat"], ["animals"]),
        helper.make_node("Concat", ["boxes", "animals", "others"], ["fine"], axis=1),
        helper.make_node("Concat", ["fine", "coarse"], ["output0"], axis=2),
    ]
    constants = {
        "first": np.array([channel]),
        "next": np.array([channel + 1]),
        "channels": np.array([1]),
        "scale": np.array(scale, np.float32),
        "flat": np.array([1, 1, 64]),
        "boxes": boxes,
        "others": np.zeros((1, 2, 64), np.float32),
        "coarse": np.zeros((1, 7, CELLS - 64), np.float32),
    }
    told = [("output0", TensorProto.FLOAT, (1, 7, CELLS))]
    return save(path, nodes, constants, told, shape=(1, 3, side, side), **options)


def test_what_stands_in_the_photo_is_found_where_it_stands(tmp_path):
    """A photo of 128 x 96 comes to lie in 64 x 64 at half its size, with 8 grey rows above and below."""
    image = photo(128, 96)
    image[32:48, 80:96, 0] = 255
    found = [one for one in OnnxDetector(red_squares(tmp_path / "n.onnx"))(image) if one.score > 0.9]
    assert rounded(found) == [("animal", 1.0, 80, 32, 16, 16)]
    image[..., [0, 2]] = image[..., [2, 0]]  # blue
    assert [one for one in OnnxDetector(red_squares(tmp_path / "n.onnx"))(image) if one.score > 0.9] == []


def test_metadata_says_how_a_photo_is_prepared(tmp_path):
    """YOLOX's way: blue first, values up to 255, grey only to the right and below."""
    way = {"colour": "bgr", "divisor": "1", "placing": "corner"}
    network = OnnxDetector(red_squares(tmp_path / "n.onnx", channel=2, scale=1 / 255, metadata=way))
    image = photo(128, 96)
    image[32:48, 80:96, 0] = 255
    assert rounded([one for one in network(image) if one.score > 0.9]) == [("animal", 1.0, 80, 32, 16, 16)]
    for key, value in (("colour", "grey"), ("placing", "left"), ("divisor", "-1"), ("head", "yolo"), ("names", "[1]")):
        with pytest.raises(PelageError, match=rf"n\.onnx: its (metadata `)?{key}"):
            OnnxDetector(red_squares(tmp_path / "n.onnx", metadata={key: value}))


def test_yolox_is_prepared_its_own_way():
    way = onnx_network.PREPARATIONS["yolox"]
    assert (way.colour, way.divisor, way.placing) == ("bgr", 1.0, "corner")


def test_half_precision(tmp_path, returning):
    path = returning({"output": yolov5(ROWS).astype(np.float16)}, kind=TensorProto.FLOAT16)
    found = OnnxDetector(path)(photo())
    assert [one.category for one in found] == [row[0] for row in ANSWER]
    assert [one.score for one in found] == pytest.approx([row[1] for row in ANSWER], abs=1e-3)


def test_a_network_of_any_input_size_gets_no_more_grey_than_its_stride_asks_for(tmp_path):
    """As MegaDetector's own scripts do: 4 : 3 at 1280 is 1280 x 960, a quarter less to work through."""
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Slice", ["shape", "two", "four"], ["sides"]),
        helper.make_node("ConstantOfShape", ["sides"], ["zeros"]),
        helper.make_node("AveragePool", ["images"], ["eighth"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("AveragePool", ["images"], ["sixteenth"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("AveragePool", ["images"], ["thirtysecond"], kernel_shape=[32, 32], strides=[32, 32]),
        *(helper.make_node("Reshape", [g, "row"], [f"{g}_row"]) for g in ("eighth", "sixteenth", "thirtysecond")),
        helper.make_node("Concat", ["eighth_row", "sixteenth_row", "thirtysecond_row"], ["sees"], axis=2),
        helper.make_node("Shape", ["sees"], ["whole"]),
        helper.make_node("Expand", ["seven", "whole"], ["base"]),
        helper.make_node("Slice", ["base", "zero", "one", "one"], ["first"]),
        helper.make_node("Mul", ["first", "quarter"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "sees"], ["output0"], axis=1),
    ]
    constants = {
        **{name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("two", 2), ("four", 4))},
        "row": np.array([1, 3, -1]),
        "seven": np.ones((1, 1, 1), np.float32),
        "quarter": np.array([10, 20, 4, 8], np.float32).reshape(1, 4, 1),
    }
    told = [("output0", TensorProto.FLOAT, ("b", 7, "n"))]
    path = save(
        tmp_path / "n.onnx",
        nodes,
        constants,
        told,
        shape=("b", 3, "h", "w"),
        metadata={"imgsz": "[128, 128]", "stride": "32"},
    )
    network = OnnxDetector(path)
    assert network._head == "yolov8" and network._size == (128, 128)
    canvas, _ = fit(photo(400, 300), network._size, "centre", network._stride)
    assert canvas.shape == (96, 128, 3)
    image = photo(400, 300)
    image[..., 0] = 255
    assert rounded(network(image)) == [("animal", 1.0, 25, 50, 12.5, 25)]
    assert OnnxDetector(path, size=300)._size == (320, 320)


def literal_letterbox(im, new_shape, auto, stride=32, color=(114, 114, 114)):
    """YOLOv5's `utils/augmentations.py`, `letterbox` with its defaults, for comparison."""
    shape = im.shape[:2]
    r = min(new_shape[0] / shape[0], new_shape[1] / shape[1])
    new_unpad = round(shape[1] * r), round(shape[0] * r)
    dw, dh = new_shape[1] - new_unpad[0], new_shape[0] - new_unpad[1]
    if auto:
        dw, dh = np.mod(dw, stride), np.mod(dh, stride)
    dw /= 2
    dh /= 2
    if shape[::-1] != new_unpad:
        im = cv2.resize(im, new_unpad, interpolation=cv2.INTER_LINEAR)
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    return cv2.copyMakeBorder(im, top, bottom, left, right, cv2.BORDER_CONSTANT, value=color)


def literal_scale_boxes(img1_shape, boxes, img0_shape):
    """Its `utils/general.py`, `scale_boxes` with `clip_boxes`."""
    gain = min(img1_shape[0] / img0_shape[0], img1_shape[1] / img0_shape[1])
    pad = (img1_shape[1] - img0_shape[1] * gain) / 2, (img1_shape[0] - img0_shape[0] * gain) / 2
    boxes = boxes.copy()
    boxes[..., [0, 2]] -= pad[0]
    boxes[..., [1, 3]] -= pad[1]
    boxes[..., :4] /= gain
    boxes[..., [0, 2]] = boxes[..., [0, 2]].clip(0, img0_shape[1])
    boxes[..., [1, 3]] = boxes[..., [1, 3]].clip(0, img0_shape[0])
    return boxes


def literal_yolox(img, input_size):
    """YOLOX's `data_augment.py`, `preproc`, before it turns the axes."""
    padded = np.ones((input_size[0], input_size[1], 3), dtype=np.uint8) * 114
    r = min(input_size[0] / img.shape[0], input_size[1] / img.shape[1])
    resized = cv2.resize(img, (int(img.shape[1] * r), int(img.shape[0] * r)), interpolation=cv2.INTER_LINEAR)
    padded[: int(img.shape[0] * r), : int(img.shape[1] * r)] = resized
    return padded, r


@given(st.integers(5, 400), st.integers(5, 400), st.sampled_from([(64, 64), (96, 128), (320, 320)]), st.booleans())
def test_photos_are_fitted_as_the_reference_does(width, height, size, auto):
    image = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), np.uint8)
    stride = 32 if auto else None
    canvas, fitted = fit(image, size, "centre", stride)
    assert (canvas == literal_letterbox(image, size, auto)).all()
    boxes = np.array([[0, 0, size[1], size[0]], [20, 30, 40, 50]], np.float32)
    theirs = literal_scale_boxes(canvas.shape, boxes, image.shape)
    assert np.abs(fitted.back(boxes) - theirs).max() <= 1 / fitted.gain_x  # it forgets the grey that was rounded
    canvas, fitted = fit(image, size, "corner")
    theirs, gain = literal_yolox(image, size) if min(width, height) * fitted.gain_x >= 1 else (canvas, fitted.gain_x)
    assert (canvas == theirs).all() and (fitted.gain_x, fitted.left, fitted.top) == (gain, 0, 0)


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(["centre", "corner", "stretch"]))
def test_a_box_that_is_fitted_comes_back(width, height, placing):
    _, fitted = fit(np.zeros((height, width, 3), np.uint8), (64, 96), placing)
    box = np.array([[0.25 * width, 0.5 * height, 0.5 * width, height]])
    there = box * np.array([fitted.gain_x, fitted.gain_y] * 2) + np.array([fitted.left, fitted.top] * 2)
    np.testing.assert_allclose(fitted.back(there.astype(np.float32)), box, rtol=1e-3, atol=1e-3 * max(width, height))


def test_suppression_is_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    import torch

    rng = np.random.default_rng(4)
    for _ in range(20):
        start, side = rng.integers(0, 40, (150, 2)), rng.integers(0, 25, (150, 2))
        boxes = np.concatenate([start, start + side], axis=1).astype(np.float32)
        scores = (rng.integers(1, 12, 150) / 12).astype(np.float32)  # many are equally sure
        classes = rng.integers(0, 3, 150)
        far = boxes + 4096 * classes[:, None].astype(np.float32)  # as YOLOv5 keeps classes apart
        theirs = torchvision.ops.nms(torch.from_numpy(far), torch.from_numpy(scores), 0.45).numpy()
        assert suppress(boxes, scores, classes).tolist() == theirs.tolist()


def test_suppression_on_paper():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 4.5], [0, 0, 10, 9], [0, 0, 0, 0]], np.float32)
    scores = np.array([0.5, 0.9, 0.4, 0.9, 0.3], np.float32)
    one = np.zeros(5, int)
    assert suppress(boxes, scores, one).tolist() == [1, 4]  # the first of two equally sure; .9 and .5 are over .45
    assert suppress(boxes, scores, one, 0.5).tolist() == [1, 2, 4]  # .5 is not over .5
    assert suppress(boxes, scores, np.array([0, 0, 0, 1, 0])).tolist() == [1, 3, 4]
    assert suppress(boxes[:0], scores[:0], one[:0]).tolist() == []


@pytest.mark.parametrize(
    ("shapes", "classes", "head"),
    [
        ({"output0": (1, 25200, 8)}, 3, "yolov5"),
        ({"output": (1, 3 * (80 * 80 + 40 * 40 + 20 * 20 + 10 * 10), 8), "x": (1, 3, 80, 80, 8)}, 3, "yolov5"),
        ({"output0": (1, 8400, 8)}, 3, "yolox"),
        ({"output0": (1, 7, 8400)}, 3, "yolov8"),
        ({"output0": (1, 300, 6)}, 3, "end_to_end"),
        ({"output0": (1, 300, 6)}, 1, "end_to_end"),
        ({"output0": (1, 25200, 6)}, 1, "yolov5"),
        ({"output0": (1, 8400, 6)}, 1, "yolox"),
        ({"output0": (1, 300, 7)}, 3, "detr"),
        ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, 3, "boxes"),
        ({"logits": (1, 300, 3), "pred_boxes": (1, 300, 4)}, 3, "logits"),
        ({"output0": (1, 8400, 7)}, 3, None),  # more boxes than an RT-DETR has
        ({"output0": (1, 25200, 85)}, 3, None),
        ({"output0": (1, 1000)}, 3, None),
        ({"output0": (1, 1, 640, 640)}, 3, None),
        ({"a": (1, 300, 6), "b": (1, 300, 6)}, 3, None),
        ({"boxes": (1, 300, 4), "scores": (1, 300)}, 3, None),
    ],
)
def test_heads_are_told_by_what_is_returned(shapes, classes, head):
    assert recognise(shapes, classes, (640, 640)) == head


def test_another_network_is_named_with_what_it_returns_and_what_is_read(returning, tmp_path):
    with pytest.raises(
        PelageError, match=r"another kind: .*\(animal, person, vehicle\).* 64 x 64 .* logits \(1, 1000\)"
    ) as said:
        OnnxDetector(returning({"logits": np.zeros((1, 1000), np.float32)}))
    assert all(words in str(said.value) for words in HEADS.values())
    with pytest.raises(PelageError, match=r"no class animal; it tells apart person, bicycle"):
        OnnxDetector(returning({"o": yolov5(ROWS)}, metadata={"names": "['person', 'bicycle']"}))
    with pytest.raises(PelageError, match=r"takes images \[4, 3, 64, 64\] .*batch of 1"):
        OnnxDetector(returning({"o": yolov5(ROWS)}, shape=(4, 3, 64, 64)))
    with pytest.raises(PelageError, match=r"takes images \[1, 3, 64, 64\] tensor\(uint8\)"):
        OnnxDetector(returning({"o": yolov5(ROWS)}, kind=TensorProto.UINT8))
    with pytest.raises(PelageError, match=r"gone\.onnx is missing"):
        OnnxDetector(tmp_path / "gone.onnx")
    (tmp_path / "md_v5a.0.0.pt").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(PelageError, match=r"md_v5a\.0\.0\.pt is no readable ONNX network .*export it as ONNX"):
        OnnxDetector(tmp_path / "md_v5a.0.0.pt")
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(PelageError, match=r"text\.onnx is no readable ONNX network .*Fetch it again"):
        OnnxDetector(tmp_path / "text.onnx")


def test_a_head_that_is_said_and_is_another(returning):
    with pytest.raises(PelageError, match="another kind"):
        OnnxDetector(returning({"o": yolov5(ROWS)}), head="yolov8")
    odd = returning({"o": yolov5(ROWS, 17)})  # a grid of its own
    with pytest.raises(PelageError, match="another kind"):
        OnnxDetector(odd)
    assert rounded(OnnxDetector(odd, head="yolov5")(photo())) == ANSWER


def test_classes_are_called_as_the_file_says(returning):
    head = yolov5({0: [20, 30, 10, 20, 1.0, 0.9, 0, 0], 1: [50, 30, 10, 20, 1.0, 0, 0.8, 0]})
    named = returning({"o": head}, metadata={"names": '{"0": "Human", "1": "wildlife", "2": "Drone"}'})
    assert [one.category for one in OnnxDetector(named)(photo())] == ["person", "animal"]
    with pytest.raises(PelageError, match=r"`names` is .*classes from 0 on"):
        OnnxDetector(returning({"o": head}, metadata={"names": "{1: 'animal', 2: 'person', 3: 'vehicle'}"}))


def test_numbers_that_are_none_are_no_boxes(returning):
    rows = {0: [np.nan, 30, 10, 20, 1, 0.9, 0, 0], 1: [20, 30, 10, 20, np.nan, 0.9, 0, 0]}
    rows[2] = [20, 30, np.inf, 20, 1, 0.9, 0, 0]
    rows[3] = [500, 500, 10, 20, 1, 0.9, 0, 0]  # in the grey
    assert OnnxDetector(returning({"o": yolov5(rows)}))(photo()) == []


@pytest.mark.parametrize("size", [(10, 10), (10, 1), (1, 10), (1, 1), (3000, 7)])
def test_a_photo_of_a_few_pixels(tmp_path, size):
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    found = OnnxDetector(red_squares(tmp_path / "n.onnx"))(image)
    for one in found:
        x, y, w, h = one.box
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= size[0] + 1e-3 and y + h <= size[1] + 1e-3
    assert found or min(size) * 64 < max(size)


def test_a_photo_of_184_megapixels_needs_no_second_one(tmp_path):
    """16000 x 11500 pixels are 552 MB; what comes beside them is the input of the network."""
    import tracemalloc

    network = OnnxDetector(red_squares(tmp_path / "n.onnx"))
    image = np.zeros((11500, 16000, 3), np.uint8)
    image[3750:5750, 8000:10000, 0] = 255  # 8 x 8 pixels of the input, from 32, 24 on
    tracemalloc.start()
    found = [one for one in network(image) if one.score > 0.9]
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert len(found) == 1
    assert found[0].box == pytest.approx((8000, 3750, 2000, 2000), abs=150)


def test_many_threads_share_one(tmp_path):
    network = OnnxDetector(red_squares(tmp_path / "n.onnx"))
    images = [photo() for _ in range(8)]
    for number, image in enumerate(images):
        image[8 * number : 8 * number + 8, :8, 0] = 255
    alone = [network(image) for image in images]
    told: dict[int, list] = {}
    threads = [
        threading.Thread(target=lambda i=i: told.update({i: [network(images[i % 8]) for _ in range(20)]}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(told[i] == [alone[i % 8]] * 20 for i in range(4))
