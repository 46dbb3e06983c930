import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from pelage.common.errors import PelageError
from pelage.model import backbone as module
from pelage.model.backbone import (
    HUB_ARCHITECTURES,
    create_backbone,
    load_weights,
    own_size,
    read_weights,
    weights_file,
    widen,
)  # fmt: skip

NAME = "test_efficientnet"


def test_widened_convolution_keeps_rgb_and_starts_edges_at_zero():
    weight = torch.arange(12.0).view(2, 3, 1, 2)
    wide = widen(weight, 4)
    torch.testing.assert_close(wide[:, :3], weight)
    assert wide.shape == (2, 4, 1, 2) and not wide[:, 3].any()


def leopard_study_stem(original, channels):
    """The stem as the leopard study's code makes it (EmbeddingNetwork.py, `_initialize_weights`)."""
    weight = torch.empty(original.shape[0], channels, *original.shape[2:])
    weight[:, :3, :, :] = original[:, :3, :, :].clone()
    for i in range(channels - 3):
        weight[:, 3 + i, :, :] = original[:, 0, :, :].clone()
    return weight


def test_edge_filters_start_as_the_red_ones_where_the_leopard_study_is_asked_for():
    torch.manual_seed(0)
    source = timm.create_model(NAME).state_dict()
    backbone = create_backbone(NAME, channels=4)
    load_weights(backbone, source, edge_filters="red")
    assert torch.equal(backbone.conv_stem.weight, leopard_study_stem(source["conv_stem.weight"], 4))
    assert torch.equal(widen(source["conv_stem.weight"], 6, "red"), leopard_study_stem(source["conv_stem.weight"], 6))
    with pytest.raises(PelageError, match=r"model.edge_filters is 'green'; it must be one of red, zeros"):
        load_weights(backbone, source, edge_filters="green")


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


@pytest.mark.parametrize("prefix", ["model.", "backbone.", "module.", "trunk.", "module.model.", "_orig_mod.backbone."])
def test_prefixes_of_wrappers_are_taken_off(prefix):
    torch.manual_seed(0)
    source = timm.create_model(NAME, num_classes=0).state_dict()
    weights = {prefix + name: value for name, value in source.items()} | {"loss.weight": torch.ones(2)}
    target = create_backbone(NAME, 3)
    report = load_weights(target, weights)
    assert report.prefix == prefix and not report.missing and f"prefix {prefix} taken off" in str(report)
    assert report.skipped == (("loss.weight", "the backbone has no such tensor"),)
    assert all(torch.equal(value, source[name]) for name, value in target.state_dict().items())


def test_names_are_mapped_as_the_parameters_say(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model(NAME, num_classes=0).state_dict()
    stages = {name: "net.body." + name.removeprefix("blocks.") for name in source if name.startswith("blocks.")}
    save_file({stages.get(name, "net." + name): value for name, value in source.items()}, tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors", {"net.": "", "net.body.": "blocks."})
    assert weights.keys() == source.keys() and all(torch.equal(weights[name], source[name]) for name in source)
    with pytest.raises(PelageError, match=r"model.rename has 'body\.'.*its names are net\."):
        read_weights(tmp_path / "w.safetensors", {"body.": ""})
    save_file({"a.x": torch.zeros(1), "b.x": torch.zeros(1)}, tmp_path / "twins.safetensors")
    with pytest.raises(PelageError, match=r"two tensors of .*twins.safetensors the name b\.x"):
        read_weights(tmp_path / "twins.safetensors", {"a.": "b."})


@pytest.mark.parametrize("cut", ["none", 16])
def test_old_swin_layouts_are_turned_even_without_a_classifier(cut):
    """Before timm 0.9 a stage of Swin ended with the downsampling that the next one begins with now."""
    torch.manual_seed(0)
    name = "swin_tiny_patch4_window7_224"
    source = timm.create_model(name, num_classes=0).state_dict()
    old = {}
    for key, value in source.items():
        parts = key.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) - 1)
        old["model." + ".".join(parts)] = value
    target = create_backbone(name, 4, cut)
    report = load_weights(target, old)
    assert report.widened == ("patch_embed.proj.weight",) and not report.missing
    assert "layers.1.downsample.norm.weight" in target.state_dict()
    assert any(name.startswith("layers.2.downsample") for name in report.renamed)
    for key, value in target.state_dict().items():
        if key != "patch_embed.proj.weight":
            assert torch.equal(value, source[key]), key


def test_position_tables_are_resampled_for_another_size():
    torch.manual_seed(0)
    source = timm.create_model("test_vit").state_dict()  # 160 x 160 pixels: a class token and 10 x 10 places
    source["pos_embed"][:, 1:] = torch.linspace(0, 1, 10).repeat(10).view(1, 100, 1)  # grows from left to right
    target = create_backbone("test_vit", 3, size=(320, 80))
    report = load_weights(target, source)
    assert report.resized == ("pos_embed",) and not report.missing
    assert "pos_embed resampled for the size" in str(report)
    table = target.pos_embed.detach()
    torch.testing.assert_close(table[:, :1], source["pos_embed"][:, :1])
    rows = table[0, 1:, 0].view(5, 20)
    assert (rows.diff(dim=1)[:, 2:-2] > 0).all() and rows[:, 0].max() < 0.05 and rows[:, -1].min() > 0.95


def test_names_of_openai_clip_are_turned_into_timms():
    torch.manual_seed(0)
    network = create_backbone("vit_base_patch32_clip_224", 3)
    theirs = {f"visual.{name}": value for name, value in _as_openai(network.state_dict()).items()}
    fresh = create_backbone("vit_base_patch32_clip_224", 3)
    report = load_weights(fresh, theirs | {"token_embedding.weight": torch.zeros(3, 2)})
    assert not report.missing and report.renamed
    for name, value in network.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def _as_openai(state):
    """The names of github.com/openai/CLIP for a vision transformer of timm."""
    swaps = [
        ("patch_embed.proj", "conv1"), ("norm_pre", "ln_pre"), ("blocks.", "transformer.resblocks."),
        ("norm1", "ln_1"), ("norm2", "ln_2"), ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
    ]  # fmt: skip
    named = {}
    for name, value in state.items():
        for ours, theirs in swaps:
            name = name.replace(ours, theirs)
        name = name.replace("norm.", "ln_post.") if name.startswith("norm.") else name
        if name == "cls_token":
            name, value = "class_embedding", value[0, 0]
        if name == "pos_embed":
            name, value = "positional_embedding", value[0]
        named[name] = value
    return named


def test_a_model_of_this_pipeline_gives_its_backbone():
    from pelage.model.embedder import Embedder

    config = {"backbone": NAME, "stride": "none", "pooling": "gem", "dim": 8, "dropout": 0.0, "batch_norm": False}
    model = Embedder({**config, "grid": [1, 1]}, 3)
    report = load_weights(create_backbone(NAME, 3), model.state_dict())
    assert not report.missing
    assert {name for name, _ in report.skipped} == {"pooling.exponent", "head.1.weight", "head.1.bias"}


def test_the_architectures_of_the_megadescriptors_need_no_hub(monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", None)
    sizes = {"T-224": 768, "S-224": 768, "B-224": 1024, "L-224": 1536, "L-384": 1536}
    with torch.device("meta"):
        for name in HUB_ARCHITECTURES:
            network = create_backbone(name, 4)
            assert network.num_features == sizes[name.partition("Descriptor-")[2]]
            assert own_size(network) == ((384, 384) if name.endswith("384") else (224, 224))


def test_a_megadescriptor_from_a_local_file(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0).state_dict()
    save_file({name: value.contiguous() for name, value in source.items()}, tmp_path / "mega.safetensors")
    config = {"backbone": "hf-hub:BVRA/MegaDescriptor-T-224", "weights": str(tmp_path / "mega.safetensors")}
    network = create_backbone(config["backbone"], 3, size=(224, 112))
    report = load_weights(network, read_weights(weights_file(config)))
    # at 112 rows the last stage has 4 x 7 places: its windows, and their tables, become that small
    assert not report.missing and all(name.endswith("relative_position_bias_table") for name in report.resized)


def refuse(*_, **__):
    raise ConnectionError("no route to host")


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch):
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", refuse)
    monkeypatch.setattr(module, "hf_hub_download", refuse)
    with pytest.raises(PelageError, match=r"'hf-hub:someone/else'.*config.json.*model.weights to the safetensors file"):
        create_backbone("hf-hub:someone/else", 3)
    with pytest.raises(PelageError, match=r"data/weights/MegaDescriptor-B-224.safetensors, and set model.weights"):
        weights_file({"backbone": "hf-hub:BVRA/MegaDescriptor-B-224", "weights": "pretrained"})
    with pytest.raises(PelageError, match=r"huggingface.co/timm/resnet18.a1_in1k where there is a network"):
        weights_file({"backbone": "resnet18", "weights": "pretrained"})


def test_a_hub_name_is_read_by_timms_own_code(monkeypatch, tmp_path):
    """The configuration names the architecture and its arguments; only the download is played."""
    (tmp_path / "config.json").write_text('{"architecture": "test_vit", "num_classes": 0, "pretrained_cfg": {}}')
    asked = []

    def download(repository, filename, **named):
        asked.append((repository, filename, named.get("revision")))
        return str(tmp_path / filename)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    monkeypatch.setattr(module, "hf_hub_download", download)
    assert create_backbone("hf-hub:someone/vit@v2", 4).num_features == 64
    assert set(asked) == {("someone/vit", "config.json", "v2")}
    config = {"backbone": "hf-hub:someone/vit@v2", "weights": "pretrained"}
    assert weights_file(config) == tmp_path / "model.safetensors"
    assert asked[-1] == ("someone/vit", "model.safetensors", "v2")


def test_weights_are_a_path_none_or_pretrained():
    assert weights_file({"backbone": NAME, "weights": "none"}) is None
    assert str(weights_file({"backbone": NAME, "weights": "a/b.safetensors"})) == "a/b.safetensors"
    with pytest.raises(PelageError, match=r"timm has no weights of 'swin_nonsense'"):
        weights_file({"backbone": "swin_nonsense", "weights": "pretrained"})


def test_a_tag_that_timm_does_not_have_is_told():
    with pytest.raises(PelageError, match=r"'resnet18.nonsense'.*Invalid pretrained tag"):
        create_backbone("resnet18.nonsense", 3)
