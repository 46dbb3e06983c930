import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from pelage.common.errors import PelageError
from pelage.model.backbone import create_backbone, load_weights, read_weights, widen

NAME = "test_efficientnet"


def test_widened_convolution_keeps_rgb_and_starts_edges_at_zero():
    weight = torch.arange(12.0).view(2, 3, 1, 2)
    wide = widen(weight, 4)
    torch.testing.assert_close(wide[:, :3], weight)
    assert wide.shape == (2, 4, 1, 2) and not wide[:, 3].any()


def test_loads_by_name_and_says_what_it_left():
    torch.manual_seed(0)
    source = timm.create_model(NAME, num_classes=7)
    backbone = create_backbone(NAME, channels=4)
    report = load_weights(backbone, source.state_dict())
    assert report.widened == ("conv_stem.weight",) and not report.missing
    assert {name for name, _ in report.skipped} == {"classifier.weight", "classifier.bias"}
    assert "classifier.bias skipped (the backbone has no such tensor)" in str(report)
    loaded = backbone.state_dict()
    for name, value in source.state_dict().items():
        if name not in ("conv_stem.weight", "classifier.weight", "classifier.bias"):
            torch.testing.assert_close(loaded[name], value)


def test_a_widened_network_starts_as_the_pretrained_one_whatever_the_edges():
    torch.manual_seed(0)
    source = timm.create_model(NAME)
    wide, narrow = create_backbone(NAME, 4).eval(), create_backbone(NAME, 3).eval()
    load_weights(wide, source.state_dict())
    load_weights(narrow, source.state_dict())
    rgb, edges = torch.randn(1, 3, 32, 32), torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            wide.forward_features(torch.cat([rgb, edges], dim=1)), narrow.forward_features(rgb), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit"])
def test_a_network_is_cut_after_the_last_layer_of_a_stride(name):
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=0).eval()
    cut = create_backbone(name, 3, stride=16)
    report = load_weights(cut, whole.state_dict())
    cut.eval()
    image = torch.randn(1, 3, 160, 160)
    index = max(i for i, stage in enumerate(whole.feature_info) if stage["reduction"] == 16)
    with torch.inference_mode():
        expected = whole.forward_intermediates(image, indices=[index], intermediates_only=True)[0]
        features = cut.forward_features(image)
    assert not report.missing
    if features.ndim == 4:  # a transformer's last layer is its whole
        assert cut.num_features == features.shape[1]
        torch.testing.assert_close(features, expected)
        assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in whole.parameters())


def test_an_impossible_stride_names_the_possible_ones():
    with pytest.raises(PelageError, match=r"model.stride is 5, but the layers of test_efficientnet have.*4, 8, 16, 32"):
        create_backbone(NAME, 3, stride=5)


def test_a_tensor_of_another_shape_is_skipped_with_both_shapes():
    weights = timm.create_model(NAME).state_dict()
    weights["bn2.weight"] = torch.ones(3)
    report = load_weights(create_backbone(NAME, 3), weights)
    assert ("bn2.weight", "shape (3,), the backbone wants (256,)") in report.skipped
    assert report.missing == ("bn2.weight",)


def test_weights_of_another_architecture_are_refused():
    with pytest.raises(PelageError, match=r"resnet.safetensors are weights of another architecture.*model.weights"):
        load_weights(create_backbone(NAME, 3), timm.create_model("test_resnet").state_dict(), "resnet.safetensors")


def test_only_safetensors_are_read(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    torch.testing.assert_close(read_weights(tmp_path / "good.safetensors")["a"], torch.ones(2))
    torch.save({"a": torch.ones(2)}, tmp_path / "bad.pth")
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"a": 1}))
    for name in ("bad.pth", "bad.pkl"):
        with pytest.raises(PelageError, match=r"not a safetensors file.*refused"):
            read_weights(tmp_path / name)
    with pytest.raises(PelageError, match=r"missing.*dvc repro weights"):
        read_weights(tmp_path / "none.safetensors")


def test_unknown_backbone_names_close_ones():
    with pytest.raises(PelageError, match=r"model.backbone is 'test_efficient_net'"):
        create_backbone("test_efficient_net", 3)
