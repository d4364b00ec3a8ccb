"""The default model is the same function as Hugging Face's `openai/clip-vit-base-patch32`, whatever the weights.

transformers has its own implementation of that architecture. Both get the same random weights here; that the published
weights are the same is for their publishers to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from tests.support.decoding import decoder_for
from tests.support.pictures import PHOTOS, encoded
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME = 0.9999
TEXTS = ["a red apple", "two dogs on a beach, at night", "", "café ☕", "x " * 200]


def as_transformers(weights: dict[str, torch.Tensor], config: CLIPConfig) -> dict[str, torch.Tensor]:
    """Rename open_clip's weights as transformers has them: both follow OpenAI's, the one more closely."""
    renamed = {
        "logit_scale": weights["logit_scale"],
        "visual_projection.weight": weights["visual.proj"].T,
        "text_projection.weight": weights["text_projection"].T,
        "vision_model.embeddings.class_embedding": weights["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": weights["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": weights["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": weights["positional_embedding"],
    }
    layers = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    layers |= {"attn.out_proj": "self_attn.out_proj"}
    towers = [
        ("visual.", "vision_model", config.vision_config.num_hidden_layers),
        ("", "text_model", config.text_config.num_hidden_layers),
    ]
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    for theirs, tower, count in towers:
        for layer in range(count):
            block, renamed_block = f"{theirs}transformer.resblocks.{layer}", f"{tower}.encoder.layers.{layer}"
            for kind in ("weight", "bias"):
                for name, new in layers.items():
                    renamed[f"{renamed_block}.{new}.{kind}"] = weights[f"{block}.{name}.{kind}"]
                parts = weights[f"{block}.attn.in_proj_{kind}"].chunk(3)
                for name, part in zip("qkv", parts, strict=True):
                    renamed[f"{renamed_block}.self_attn.{name}_proj.{kind}"] = part
    for name, new in norms.items():
        for kind in ("weight", "bias"):
            renamed[f"{new}.{kind}"] = weights[f"{name}.{kind}"]
    return renamed


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Seeded weights, with MLPs that say enough for their activation function to show in the vectors."""
    torch.manual_seed(11)
    model = open_clip.create_model(Settings().clip_model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.c_proj.weight"):
                parameter.mul_(20)
    return dict(model.state_dict())


@pytest.fixture(scope="module")
def encoder(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> OpenClipEncoder:
    path = tmp_path_factory.mktemp("default") / "seeded.pt"
    torch.save(weights, path)
    return OpenClipEncoder(EncoderConfig(Settings().clip_model, str(path), "cpu", "fp32"))


@pytest.fixture(scope="module")
def other(weights: dict[str, torch.Tensor]) -> CLIPModel:
    """transformers' model in the configuration of `openai/clip-vit-base-patch32`, which is its default."""
    config = CLIPConfig()
    assert config.vision_config.hidden_act == config.text_config.hidden_act == "quick_gelu"
    model = CLIPModel(config).eval()
    model.load_state_dict(as_transformers(weights, config))
    return model


def unit(features: torch.Tensor) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).numpy()
    return vectors


def test_pictures_have_the_same_vectors(encoder: OpenClipEncoder, other: CLIPModel) -> None:
    """From the file on: its preprocessing and ours, its model and ours."""
    names = ("raccoon.webp", "cat.jpg", "retina.jpg", "coffee-cup.png")
    pictures = [Image.open(PHOTOS / name).convert("RGB") for name in names]
    decoder = decoder_for(encoder.spec)
    ours = encoder.encode(np.stack([decoder.decode(encoded(picture, "PNG")).pixels for picture in pictures]))
    with torch.no_grad():
        theirs = unit(other.get_image_features(**CLIPImageProcessor()(pictures, return_tensors="pt")).pooler_output)
    cosines = ours @ theirs.T
    assert cosines.diagonal().min() >= SAME
    assert cosines[~np.eye(len(names), dtype=bool)].max() < SAME, "different pictures must differ"


def test_texts_have_the_same_vectors(encoder: OpenClipEncoder, other: CLIPModel) -> None:
    tokens = open_clip.get_tokenizer(Settings().clip_model)(TEXTS)
    with torch.no_grad():
        theirs = unit(other.get_text_features(input_ids=tokens).pooler_output)
    cosines = encoder.encode_texts(TEXTS) @ theirs.T
    assert cosines.diagonal().min() >= SAME
    assert cosines[~np.eye(len(TEXTS), dtype=bool)].max() < SAME, "different texts must differ"


def test_the_activation_function_would_show(weights: dict[str, torch.Tensor], other: CLIPModel) -> None:
    """With the common GELU in place of QuickGELU the vectors are others."""
    gelu = open_clip.create_model("ViT-B-32").eval()
    gelu.load_state_dict(weights)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS)
    with torch.no_grad():
        images = unit(gelu.encode_image(pixels)) * unit(other.get_image_features(pixels).pooler_output)
        texts = unit(gelu.encode_text(tokens)) * unit(other.get_text_features(tokens).pooler_output)
    assert images.sum(axis=1).max() < SAME
    assert texts.sum(axis=1).max() < SAME
