"""YOLOX as an ONNX graph, made of a torch checkpoint of the project's own training code.

Ge et al., "YOLOX: exceeding YOLO series in 2021", 2021, arXiv:2107.08430, in its size *tiny*. The checkpoint holds
numbers by the names of layers and no network; which layer follows which is written here, and batch norms are folded
into the convolutions before them. What comes out is decoded: boxes in the input's pixels, scores in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SIDE = 448
"""Pixels of the input's sides. It was trained with 640; from camera-trap photos smaller animals of the same photo are
found as well with less, and large ones better, in half the time (see `benchmarks/detection.py`)."""

OPSET, IR_VERSION = 18, 9  # of 2023, so that older runtimes can read the file
EPSILON = 1e-3  # of the batch norms


def yolox_tiny_to_onnx(tensors: Mapping[str, np.ndarray], names: Sequence[str], side: int = SIDE) -> bytes:
    """Return YOLOX-tiny as ONNX: input `images` (1, 3, side, side), BGR 0..255; output (1, N, 5 + classes).

    Args:
        tensors: The checkpoint's numbers by the names of its layers.
        names: Words for its classes.
        side: Pixels of the input's sides, a multiple of 32.

    Raises:
        KeyError: A layer is missing.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph(tensors)
    levels = _neck(graph, _backbone(graph, "images"))
    boxes = [_head(graph, level, number, side) for number, level in enumerate(levels)]
    graph.add("Transpose", [graph.add("Concat", boxes, axis=2)], output="output", perm=[0, 2, 1])
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 5 + len(names)])
    made = helper.make_graph(graph.nodes, "yolox_tiny", [image], [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    told = {"names": str(dict(enumerate(names))), "head": "yolox", "colour": "bgr", "divisor": "1", "placing": "corner"}
    helper.set_model_props(model, told)
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)


class _Graph:
    """Nodes and constants of an ONNX graph while it grows; every value is named by its number."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.nodes: list = []
        self.constants: list = []

    def add(self, kind: str, inputs: Sequence[str], outputs: int = 1, output: str = "", **attributes) -> str | list:
        """Add a node and return the name of its output, or of its `outputs`."""
        from onnx import helper

        names = [output or f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, values: np.ndarray) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolve(self, value: str, layer: str, stride: int = 1) -> str:
        """Add a convolution with its batch norm and SiLU."""
        kernel = self.tensors[f"{layer}.conv.weight"].astype(float)
        gain, bias, mean, variance = (
            self.tensors[f"{layer}.bn.{name}"].astype(float)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gain / np.sqrt(variance + EPSILON)
        weights = [kernel * gain[:, None, None, None], bias - mean * gain]
        return self.silu(self._convolution(value, *(part.astype(np.float32) for part in weights), stride))

    def predict(self, value: str, layer: str) -> str:
        """Add a convolution with a bias and nothing after it."""
        return self._convolution(value, self.tensors[f"{layer}.weight"], self.tensors[f"{layer}.bias"], 1)

    def silu(self, value: str) -> str:
        """Add x times its sigmoid."""
        return self.add("Mul", [value, self.add("Sigmoid", [value])])

    def join(self, values: Sequence[str]) -> str:
        """Lay channels side by side."""
        return self.add("Concat", values, axis=1)

    def enlarge(self, value: str) -> str:
        """Double the height and width by repeating."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", [value, "", scales], mode="nearest", **how)

    def cross_stage(self, value: str, layer: str, blocks: int, residual: bool) -> str:
        """Add a cross stage partial layer of so many bottlenecks."""
        through = self.convolve(value, f"{layer}.conv1")
        beside = self.convolve(value, f"{layer}.conv2")
        for number in range(blocks):
            narrow = self.convolve(through, f"{layer}.m.{number}.conv1")
            wide = self.convolve(narrow, f"{layer}.m.{number}.conv2")
            through = self.add("Add", [through, wide]) if residual else wide
        return self.convolve(self.join([through, beside]), f"{layer}.conv3")

    def _convolution(self, value: str, kernel: np.ndarray, bias: np.ndarray, stride: int) -> str:
        side = kernel.shape[-1]
        shape = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": [side // 2] * 4}
        return self.add("Conv", [value, self.constant(kernel), self.constant(bias)], **shape)


def _backbone(graph: _Graph, image: str) -> list[str]:
    """Add CSPDarknet and return its maps of strides 8, 16 and 32."""
    end, steps, axes = (graph.constant(np.array(pair)) for pair in ([2**31 - 1] * 2, [2, 2], [2, 3]))
    quarters = [
        graph.add("Slice", [image, graph.constant(np.array(start)), end, axes, steps])
        for start in ([0, 0], [1, 0], [0, 1], [1, 1])
    ]
    value, maps = graph.convolve(graph.join(quarters), "backbone.backbone.stem.conv"), []
    for stage, blocks in ((2, 1), (3, 3), (4, 3), (5, 1)):
        layer = f"backbone.backbone.dark{stage}"
        value = graph.convolve(value, f"{layer}.0", stride=2)
        if stage == 5:
            value = _pyramid(graph, value, f"{layer}.1")
        value = graph.cross_stage(value, f"{layer}.{2 if stage == 5 else 1}", blocks, residual=stage < 5)
        maps += [value] if stage > 2 else []
    return maps


def _pyramid(graph: _Graph, value: str, layer: str) -> str:
    """Add spatial pyramid pooling."""
    value = graph.convolve(value, f"{layer}.conv1")
    pooled = [
        graph.add("MaxPool", [value], kernel_shape=[side, side], strides=[1, 1], pads=[side // 2] * 4)
        for side in (5, 9, 13)
    ]
    return graph.convolve(graph.join([value, *pooled]), f"{layer}.conv2")


def _neck(graph: _Graph, maps: Sequence[str]) -> list[str]:
    """Add the path aggregation network and return its maps of strides 8, 16 and 32."""
    fine, middle, coarse = maps
    top = graph.convolve(coarse, "backbone.lateral_conv0")
    joined = graph.cross_stage(graph.join([graph.enlarge(top), middle]), "backbone.C3_p4", 1, residual=False)
    half = graph.convolve(joined, "backbone.reduce_conv1")
    fine = graph.cross_stage(graph.join([graph.enlarge(half), fine]), "backbone.C3_p3", 1, residual=False)
    down = graph.convolve(fine, "backbone.bu_conv2", stride=2)
    middle = graph.cross_stage(graph.join([down, half]), "backbone.C3_n3", 1, residual=False)
    down = graph.convolve(middle, "backbone.bu_conv1", stride=2)
    coarse = graph.cross_stage(graph.join([down, top]), "backbone.C3_n4", 1, residual=False)
    return [fine, middle, coarse]


def _head(graph: _Graph, value: str, number: int, side: int) -> str:
    """Add the head of one map and return its boxes and scores `(1, 5 + classes, cells)`."""
    stride = 8 * 2**number
    cells = side // stride
    value = graph.convolve(value, f"head.stems.{number}")
    where = what = value
    for layer in (0, 1):
        where = graph.convolve(where, f"head.reg_convs.{number}.{layer}")
        what = graph.convolve(what, f"head.cls_convs.{number}.{layer}")
    centre, size = graph.add("Split", [graph.predict(where, f"head.reg_preds.{number}")], 2, axis=1, num_outputs=2)
    objectness = graph.add("Sigmoid", [graph.predict(where, f"head.obj_preds.{number}")])
    classes = graph.add("Sigmoid", [graph.predict(what, f"head.cls_preds.{number}")])
    rows, columns = np.mgrid[:cells, :cells].astype(np.float32)
    scale = graph.constant(np.float32(stride))
    centre = graph.add("Mul", [graph.add("Add", [centre, graph.constant(np.stack([columns, rows])[None])]), scale])
    size = graph.add("Mul", [graph.add("Exp", [size]), scale])
    shape = graph.constant(np.array([1, -1, cells * cells]))
    return graph.add("Reshape", [graph.join([centre, size, objectness, classes]), shape])
