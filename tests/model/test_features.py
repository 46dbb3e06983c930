"""Every kind of network: its features are timm's own, and its places lie where the image's do."""

import pytest
import timm
import torch

from pelage.common.errors import PelageError
from pelage.model.backbone import create_backbone
from pelage.model.embedder import Embedder
from pelage.model.features import Layout, feature_layout, feature_maps

CONFIG = {
    "stride": "none", "pooling": "avg", "grid": [2, 3], "dim": 16, "dropout": 0.0, "batch_norm": False,
    "width": 192, "height": 96,
}  # fmt: skip
SWIN = "swin_tiny_patch4_window7_224"

NAMES = [
    "resnet18", "resnet50", "resnetv2_50", "convnext_tiny", "convnext_large", "efficientnet_b3", "tf_efficientnetv2_b2",
    "tf_efficientnet_lite0", "swin_base_patch4_window7_224", "hf-hub:BVRA/MegaDescriptor-T-224",
    "hf-hub:BVRA/MegaDescriptor-B-224", "hf-hub:BVRA/MegaDescriptor-L-384", "vit_small_patch16_224.dino",
    "vit_base_patch16_224.dino", "vit_base_patch16_clip_224.openai", "vit_base_patch32_clip_224.laion2b",
]  # fmt: skip
"""Networks that take any size of whole patches."""


def pooled(embedder: Embedder, images: torch.Tensor) -> torch.Tensor:
    """What the head is given, for images that are normalised already."""
    embedder.mean.zero_(), embedder.std.fill_(1)
    embedder.head = torch.nn.Identity()
    with torch.inference_mode():
        return embedder.eval()(images)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("test_resnet", "avg"), ("test_efficientnet", "avg"), ("test_convnext", "avg"), ("test_nfnet", "avg"),
        ("test_mambaout", "avg"), ("test_vit", "cls"), ("test_vit_relpos", "avg"), (SWIN, "avg"),
    ],
)  # fmt: skip
def test_features_are_those_of_timms_own_forward(name, pooling):
    torch.manual_seed(0)
    sized = {"img_size": (64, 128)} if "vit" in name or "swin" in name else {}
    theirs = timm.create_model(name, num_classes=0, **sized).eval()
    if name == "test_mambaout":  # its head goes on after the norm, with a layer of the classifier
        theirs.head.pre_logits = torch.nn.Identity()
    for parameter in theirs.parameters():  # norms that start as 1 and 0 would hide where they are applied
        parameter.data += 0.05 * torch.randn_like(parameter)
    ours = Embedder({**CONFIG, "backbone": name, "pooling": pooling, "width": 128, "height": 64}, 3)
    ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 128)
    with torch.inference_mode():
        torch.testing.assert_close(pooled(ours, images), theirs(images), rtol=1e-4, atol=1e-5)


def test_the_average_of_a_transformers_tokens_leaves_the_class_token_out():
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", num_classes=0, img_size=(64, 128)).eval()
    ours = Embedder({**CONFIG, "backbone": "test_vit", "width": 128, "height": 64}, 3)
    ours.backbone.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 128)
    with torch.inference_mode():
        torch.testing.assert_close(pooled(ours, images), theirs.forward_features(images)[:, 1:].mean(1))


def test_tokens_become_maps_row_by_row():
    tokens = torch.tensor([9.0, 0, 1, 2, 3, 4, 5]).view(1, 7, 1)
    layout = Layout("tokens", 1, 2, 3, prefix=1)
    assert feature_maps(tokens, layout)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    last = torch.arange(6.0).view(1, 2, 3, 1)
    assert feature_maps(last, Layout("maps_last", 1, 2, 3))[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("name", "size", "grid"), [("test_vit", (96, 192), (6, 12)), (SWIN, (96, 192), (3, 6))])
def test_a_change_in_a_corner_is_seen_in_that_corner(name, size, grid):
    torch.manual_seed(0)
    network = create_backbone(name, 3, size=(size[1], size[0])).eval()
    layout = feature_layout(network, 3, *size)
    assert (layout.rows, layout.columns) == grid
    images = torch.zeros(2, 3, *size)
    images[1, :, -16:, :16] = 3  # at the bottom left
    with torch.inference_mode():
        maps = feature_maps(network.forward_features(images), layout)
    change = (maps[1] - maps[0]).norm(dim=0)
    assert change.argmax() == (grid[0] - 1) * grid[1]


@pytest.mark.parametrize(("name", "channels"), [*((name, 4) for name in NAMES), ("resnet18", 3), (SWIN, 3)])
def test_every_architecture_takes_a_wide_image(name, channels):
    with torch.device("meta"):
        embedder = Embedder({**CONFIG, "backbone": name}, channels).eval()
        points = embedder(torch.zeros(2, channels, 96, 192))
    assert points.shape == (2, 16)
    assert embedder.layout.rows * 2 == embedder.layout.columns


@pytest.mark.parametrize("name", ["vit_base_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"])
@pytest.mark.parametrize("pooling", ["avg", "gem", "cls", "grid"])
def test_dinov2_has_patches_of_14_pixels(name, pooling):
    config = {**CONFIG, "backbone": name, "pooling": pooling, "stride": 14, "width": 196, "height": 98}
    with torch.device("meta"):
        embedder = Embedder(config, 4).eval()
        assert embedder(torch.zeros(2, 4, 98, 196)).shape == (2, 16)
    assert (embedder.layout.rows, embedder.layout.columns) == (7, 14)


@pytest.mark.parametrize("name", ["resnetv2_50", "convnext_tiny", "tf_efficientnetv2_b2", SWIN])
@pytest.mark.parametrize("pooling", ["avg", "gem", "grid"])
def test_hierarchical_networks_may_be_cut(name, pooling):
    with torch.device("meta"):
        embedder = Embedder({**CONFIG, "backbone": name, "pooling": pooling, "stride": 16}, 4).eval()
        assert embedder(torch.zeros(2, 4, 96, 192)).shape == (2, 16)
    assert (embedder.layout.rows, embedder.layout.columns) == (6, 12)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_vit_relpos", "test_mambaout"])
def test_every_number_of_a_network_is_learnt(name):
    """What only timm's classifier uses is gone: a distributed run waits for each gradient."""
    embedder = Embedder({**CONFIG, "backbone": name}, 3).train()
    embedder(torch.randint(0, 256, (2, 3, 96, 192), dtype=torch.uint8)).sum().backward()
    assert not [name for name, parameter in embedder.named_parameters() if parameter.grad is None]


def test_looking_at_a_network_leaves_it_and_the_random_numbers_alone():
    network = create_backbone("test_resnet", 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert feature_layout(network, 3, 64, 128) == Layout("maps", 96, 2, 4)
    assert torch.equal(torch.get_rng_state(), state) and network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_networks_of_another_kind_are_told():
    class Flat(torch.nn.Module):
        def forward_features(self, images):
            return images.flatten(1)

    with pytest.raises(PelageError, match="neither maps nor tokens"):
        feature_layout(Flat(), 3, 8, 8)

    class Prime(torch.nn.Module):
        def forward_features(self, images):
            return images.new_zeros(1, 7, 5)

    with pytest.raises(PelageError, match="7 tokens for 8 x 8 pixels, which are no grid"):
        feature_layout(Prime(), 3, 8, 8)
