"""With the same weights, the default model gives the same vectors as Hugging Face's `openai/clip-vit-base-patch32`.

transformers has its own implementation of that architecture. Here both get the same random weights. The tests do not
compare the published weights.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.support.decoding import decoder_for
from tests.support.pictures import PHOTOS, encoded
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.weights import UNTRAINED
from worker.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from transformers import CLIPConfig, CLIPModel

Vectors = NDArray[np.float32]

SAME = 0.9999
TEXTS = ["a red apple", "two dogs on a beach, at night", "", "café ☕", "x " * 200]


def as_transformers(weights: dict[str, torch.Tensor], config: CLIPConfig) -> dict[str, torch.Tensor]:
    """Return open_clip's weights under the names that transformers uses."""
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
    for prefix, tower, count in towers:
        for layer in range(count):
            block, renamed_block = f"{prefix}transformer.resblocks.{layer}", f"{tower}.encoder.layers.{layer}"
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
def encoder() -> OpenClipEncoder:
    """The default model with seeded weights. Larger MLP outputs make the activation function visible in the vectors."""
    encoder = OpenClipEncoder(EncoderConfig(Settings().clip_model, UNTRAINED, "cpu", "fp32"))
    with torch.no_grad():
        for name, parameter in encoder._model.named_parameters():
            if name.endswith("mlp.c_proj.weight"):
                parameter.mul_(20)
    return encoder


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    """The package, which only this module needs; its import takes seconds."""
    return import_module("transformers")


@pytest.fixture(scope="module")
def other(encoder: OpenClipEncoder, transformers: ModuleType) -> CLIPModel:
    """transformers' model in the configuration of `openai/clip-vit-base-patch32`, which is its default."""
    config = transformers.CLIPConfig()
    assert config.vision_config.hidden_act == config.text_config.hidden_act == "quick_gelu"
    model: CLIPModel = transformers.CLIPModel(config)
    model.load_state_dict(as_transformers(encoder._model.state_dict(), config))
    return model.eval()


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    names = ("raccoon.webp", "cat.jpg", "retina.jpg", "coffee-cup.png")
    Image.MAX_IMAGE_PIXELS = None  # a test of the decoder in this process may have left its own limit
    return [Image.open(PHOTOS / name).convert("RGB") for name in names]


@pytest.fixture(scope="module")
def other_pixels(images: list[Image.Image], transformers: ModuleType) -> torch.Tensor:
    """The images after transformers' own preprocessing."""
    pixels: torch.Tensor = transformers.CLIPImageProcessor()(images, return_tensors="pt")["pixel_values"]
    return pixels


@pytest.fixture(scope="module")
def other_image_vectors(other: CLIPModel, other_pixels: torch.Tensor) -> Vectors:
    with torch.no_grad():
        return unit(other.get_image_features(other_pixels).pooler_output)


@pytest.fixture(scope="module")
def other_text_vectors(other: CLIPModel) -> Vectors:
    with torch.no_grad():
        return unit(other.get_text_features(input_ids=tokens(TEXTS)).pooler_output)


def tokens(texts: list[str]) -> torch.Tensor:
    ids: torch.Tensor = open_clip.get_tokenizer(Settings().clip_model)(texts)
    return ids


def unit(features: torch.Tensor) -> Vectors:
    vectors: Vectors = torch.nn.functional.normalize(features, dim=-1).numpy()
    return vectors


def test_images_have_the_same_vectors(
    encoder: OpenClipEncoder, images: list[Image.Image], other_image_vectors: Vectors
) -> None:
    """This covers everything from the file on: decoding, preprocessing and the model."""
    decoder = decoder_for(encoder.spec)
    ours = encoder.encode(np.stack([decoder.decode(encoded(image, "PNG")).pixels for image in images]))
    cosines = ours @ other_image_vectors.T
    assert cosines.diagonal().min() >= SAME
    assert cosines[~np.eye(len(images), dtype=bool)].max() < SAME, "different images must differ"


def test_texts_have_the_same_vectors(encoder: OpenClipEncoder, other_text_vectors: Vectors) -> None:
    cosines = encoder.encode_texts(TEXTS) @ other_text_vectors.T
    assert cosines.diagonal().min() >= SAME
    assert cosines[~np.eye(len(TEXTS), dtype=bool)].max() < SAME, "different texts must differ"


def test_a_different_activation_function_gives_different_vectors(
    encoder: OpenClipEncoder, other_pixels: torch.Tensor, other_image_vectors: Vectors, other_text_vectors: Vectors
) -> None:
    """The same weights with the common GELU instead of QuickGELU."""
    gelu = open_clip.create_model("ViT-B-32").eval()
    gelu.load_state_dict(encoder._model.state_dict())
    with torch.no_grad():
        images = unit(gelu.encode_image(other_pixels[:2])) * other_image_vectors[:2]
        texts = unit(gelu.encode_text(tokens(TEXTS[:2]))) * other_text_vectors[:2]
    assert images.sum(axis=1).max() < SAME
    assert texts.sum(axis=1).max() < SAME
