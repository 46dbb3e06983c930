"""YOLOX: the ONNX graph computes what the authors' torch modules compute with the same numbers."""

import ast

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from pelage.model.yolox import yolox_tiny_to_onnx


class Conv(nn.Module):  # what follows is Megvii's network, module by module, as their checkpoints name the layers
    def __init__(self, inside, out, side, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inside, out, side, stride, (side - 1) // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return nn.functional.silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.conv1, self.conv2, self.shortcut = Conv(width, width, 1), Conv(width, width, 3), shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return y + x if self.shortcut else y


class CSPLayer(nn.Module):
    def __init__(self, inside, out, n, shortcut=True):
        super().__init__()
        half = out // 2
        self.conv1, self.conv2, self.conv3 = Conv(inside, half, 1), Conv(inside, half, 1), Conv(2 * half, out, 1)
        self.m = nn.Sequential(*[Bottleneck(half, shortcut) for _ in range(n)])

    def forward(self, x):
        return self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), dim=1))


class SPPBottleneck(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.conv2 = Conv(width, width // 2, 1), Conv(width * 2, width, 1)
        self.m = nn.ModuleList([nn.MaxPool2d(side, stride=1, padding=side // 2) for side in (5, 9, 13)])

    def forward(self, x):
        x = self.conv1(x)
        return self.conv2(torch.cat([x] + [pool(x) for pool in self.m], dim=1))


class Focus(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.conv = Conv(12, out, 3)

    def forward(self, x):
        top_left, top_right = x[..., ::2, ::2], x[..., ::2, 1::2]
        bottom_left, bottom_right = x[..., 1::2, ::2], x[..., 1::2, 1::2]
        return self.conv(torch.cat((top_left, bottom_left, top_right, bottom_right), dim=1))


class CSPDarknet(nn.Module):
    def __init__(self, base, depth):
        super().__init__()
        self.stem = Focus(base)
        self.dark2 = nn.Sequential(Conv(base, base * 2, 3, 2), CSPLayer(base * 2, base * 2, depth))
        self.dark3 = nn.Sequential(Conv(base * 2, base * 4, 3, 2), CSPLayer(base * 4, base * 4, depth * 3))
        self.dark4 = nn.Sequential(Conv(base * 4, base * 8, 3, 2), CSPLayer(base * 8, base * 8, depth * 3))
        wide = base * 16
        self.dark5 = nn.Sequential(
            Conv(base * 8, wide, 3, 2), SPPBottleneck(wide), CSPLayer(wide, wide, depth, shortcut=False)
        )

    def forward(self, x):
        x = self.dark2(self.stem(x))
        fine = self.dark3(x)
        middle = self.dark4(fine)
        return fine, middle, self.dark5(middle)


class YOLOPAFPN(nn.Module):
    def __init__(self, base, depth):
        super().__init__()
        c2, c1, c0 = base * 4, base * 8, base * 16
        self.backbone = CSPDarknet(base, depth)
        self.lateral_conv0, self.reduce_conv1 = Conv(c0, c1, 1), Conv(c1, c2, 1)
        self.C3_p4, self.C3_p3 = CSPLayer(2 * c1, c1, depth, False), CSPLayer(2 * c2, c2, depth, False)
        self.bu_conv2, self.bu_conv1 = Conv(c2, c2, 3, 2), Conv(c1, c1, 3, 2)
        self.C3_n3, self.C3_n4 = CSPLayer(2 * c2, c1, depth, False), CSPLayer(2 * c1, c0, depth, False)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, image):
        x2, x1, x0 = self.backbone(image)
        fpn_out0 = self.lateral_conv0(x0)
        f_out0 = self.C3_p4(torch.cat([self.upsample(fpn_out0), x1], 1))
        fpn_out1 = self.reduce_conv1(f_out0)
        pan_out2 = self.C3_p3(torch.cat([self.upsample(fpn_out1), x2], 1))
        pan_out1 = self.C3_n3(torch.cat([self.bu_conv2(pan_out2), fpn_out1], 1))
        return pan_out2, pan_out1, self.C3_n4(torch.cat([self.bu_conv1(pan_out1), fpn_out0], 1))


class YOLOXHead(nn.Module):
    def __init__(self, base, classes):
        super().__init__()
        width, several = base * 4, nn.ModuleList
        self.stems = several([Conv(base * wide, width, 1) for wide in (4, 8, 16)])
        self.cls_convs = several([nn.Sequential(Conv(width, width, 3), Conv(width, width, 3)) for _ in range(3)])
        self.reg_convs = several([nn.Sequential(Conv(width, width, 3), Conv(width, width, 3)) for _ in range(3)])
        self.cls_preds = several([nn.Conv2d(width, classes, 1) for _ in range(3)])
        self.reg_preds = several([nn.Conv2d(width, 4, 1) for _ in range(3)])
        self.obj_preds = several([nn.Conv2d(width, 1, 1) for _ in range(3)])

    def forward(self, maps):
        outputs, grids, strides = [], [], []
        for k, (x, stride) in enumerate(zip(maps, (8, 16, 32), strict=True)):
            x = self.stems[k](x)
            where = self.reg_convs[k](x)
            box, sure = self.reg_preds[k](where), self.obj_preds[k](where).sigmoid()
            output = torch.cat([box, sure, self.cls_preds[k](self.cls_convs[k](x)).sigmoid()], 1)
            yv, xv = torch.meshgrid(torch.arange(x.shape[2]), torch.arange(x.shape[3]), indexing="ij")
            grids.append(torch.stack((xv, yv), 2).view(1, -1, 2))
            strides.append(torch.full((1, grids[-1].shape[1], 1), stride))
            outputs.append(output.flatten(start_dim=2))
        output = torch.cat(outputs, dim=2).permute(0, 2, 1)
        grids, strides = torch.cat(grids, dim=1), torch.cat(strides, dim=1)
        centre, size = (output[..., 0:2] + grids) * strides, torch.exp(output[..., 2:4]) * strides
        return torch.cat([centre, size, output[..., 4:]], dim=-1)


class YOLOX(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone, self.head = YOLOPAFPN(24, 1), YOLOXHead(24, classes)

    def forward(self, image):
        return self.head(self.backbone(image))


@pytest.mark.parametrize("names", [["animal"], ["animal", "person", "vehicle"]])
def test_graph_computes_what_the_authors_modules_do(names):
    torch.manual_seed(1)
    network = YOLOX(len(names)).eval()
    for part in network.modules():  # norms that have seen something
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.8, 1.2)
            part.bias.data.normal_(0, 0.1)
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    made = yolox_tiny_to_onnx(tensors, names, side=96)
    assert made == yolox_tiny_to_onnx(tensors, names, side=96)
    session = onnxruntime.InferenceSession(made)
    assert ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"]) == dict(enumerate(names))
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(image)).numpy()
    found = session.run(None, {"images": image})[0]
    assert found.shape == wanted.shape == (1, 144 + 36 + 9, 5 + len(names))
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def test_a_missing_layer_is_named():
    with pytest.raises(KeyError, match=r"backbone\.backbone\.stem\.conv\.conv\.weight"):
        yolox_tiny_to_onnx({}, ["animal"])
