"""Trains the small model on two CPU cores: `python -m worker.encode.models.train --out build/emoji-clip`.

The contrastive loss has three views: two images of an emoji by different artists, and a text that names it. Each pair
of views is pulled together as in CLIP (Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
Supervision", figure 3), so that texts find images, and images find other artists' images of the same emoji.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from safetensors.torch import save_file
from tqdm import tqdm

from worker.encode.models.augment import augment
from worker.encode.models.pictures import CACHE, TRAINING_SETS, Emoji, read_emoji, read_pictures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

TEMPLATES = (
    "a picture of a {}",
    "a photo of a {}",
    "an emoji of a {}",
    "a drawing of a {}",
    "{} emoji",
    "{} icon",
    "the {}",
    "a {}",
    "one {}",
    "a small picture of {}",
)

# The number of images to augment in one step: few enough for the CPU's cache.
_AUGMENT_BATCH = 64

# The bounds between the ways to name an emoji, for a random number from 0 to 1.
_LABEL_ALONE = 0.35
_LABEL_IN_WORDS = 0.5
_LABEL = 0.6
_TEMPLATES = 0.7
_WITH_KEYWORDS = 0.85
_KEYWORDS_ALONE = 0.95


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training.

    Attributes:
        steps: Optimizer steps.
        batch: Emoji in a batch; each comes with two images and one text.
        lr: Peak learning rate of AdamW, reached after `warm_up` steps and followed by a cosine decay to zero.
        weight_decay: Weight decay of matrices; norms, biases and the token embedding have none.
        ema: Decay of the exponential moving average of the weights. The saved model is this average.
        seed: The seed of all randomness.
    """

    steps: int = 5200
    batch: int = 384
    lr: float = 2e-3
    warm_up: int = 300
    weight_decay: float = 0.1
    ema: float = 0.998
    seed: int = 0


class Pictures:
    """The images of the training sets. Batches are sampled from them.

    Args:
        emoji: All emoji.
        drawn: For each set, its artist and its images by emoji id: uint8 of shape
            (height, width, 4), RGBA with straight alpha.
    """

    def __init__(self, emoji: list[Emoji], drawn: Iterable[tuple[str, dict[str, NDArray[np.uint8]]]]) -> None:
        self.emoji = emoji
        self._hands: list[dict[str, list[int]]] = [{} for _ in emoji]
        places = {one.id: place for place, one in enumerate(emoji)}
        rows: list[NDArray[np.uint8]] = []
        for hand, pictures in drawn:
            for key, picture in pictures.items():
                self._hands[places[key]].setdefault(hand, []).append(len(rows))
                rows.append(picture)
        stacked = np.stack(rows)
        stacked[..., :3] = np.round(stacked[..., :3] * (stacked[..., 3:] / np.float32(255)))
        self.pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
        self._known = np.array([place for place, hands in enumerate(self._hands) if hands])

    def pick(self, count: int, rng: Generator) -> tuple[list[int], list[int], list[int]]:
        """Return `count` emoji and, for each, the rows of two images, by different artists if there are two."""
        chosen = rng.choice(self._known, count, replace=False).tolist()
        first, second = [], []
        for place in chosen:
            hands = list(self._hands[place].values())
            one, other = rng.permutation(len(hands))[:2] if len(hands) > 1 else (0, 0)
            first.append(int(rng.choice(hands[one])))
            second.append(int(rng.choice(hands[other])))
        return chosen, first, second


def phrase(one: Emoji, rng: Generator) -> str:
    """Return a random text that names an emoji."""
    kind = rng.random()
    name = one.label if kind < _LABEL or not one.names else str(rng.choice(one.names))
    if kind < _LABEL_ALONE:
        return name
    if kind > _WITH_KEYWORDS and one.keywords:
        words = rng.permutation(one.keywords)[: rng.integers(1, 4)].tolist()
        return " ".join(words if kind > _KEYWORDS_ALONE else [*words, name])
    if kind < _LABEL_IN_WORDS:
        # `flag: France` becomes `flag of France`, `woman: red hair` is `woman with red hair`.
        name = name.replace(": ", " of " if name.startswith("flag") else " with ").replace(":", "")
    return str(rng.choice(TEMPLATES)).format(name) if kind < _TEMPLATES else name


def contrast(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return CLIP's contrastive loss of two aligned batches of unit vectors, each of shape (n, dim)."""
    logits = scale * first @ second.T
    target = torch.arange(len(first))
    return (
        F.cross_entropy(logits, target, label_smoothing=0.05) + F.cross_entropy(logits.T, target, label_smoothing=0.05)
    ) / 2


class Training:
    """A training run that can be interrupted and resumed."""

    def __init__(self, recipe: Recipe, config: Path, pictures: Pictures, out: Path) -> None:
        self.recipe, self.pictures, self.out = recipe, pictures, out
        # A saved state can only be resumed if these values are the same.
        self.made_with = {**vars(recipe), "config": config.read_text(), "pictures": len(pictures.pixels)}
        open_clip.add_model_config(config)
        torch.manual_seed(recipe.seed)
        self.model: Any = open_clip.create_model(config.stem, pretrained=None).train()
        self.model.visual.to(memory_format=torch.channels_last)
        self.average: Any = (
            open_clip.create_model(config.stem, pretrained=None).eval().requires_grad_(requires_grad=False)
        )
        self.average.load_state_dict(self.model.state_dict())
        self.tokenize = open_clip.get_tokenizer(config.stem)
        preprocessing = self.model.visual.preprocess_cfg
        size = preprocessing["size"]
        self.size = size[0] if isinstance(size, tuple | list) else size
        self.mean = torch.tensor(preprocessing["mean"]).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocessing["std"]).view(1, 3, 1, 1)
        decayed = [p for name, p in self.model.named_parameters() if p.ndim > 1 and "embedding" not in name]
        rest = [p for name, p in self.model.named_parameters() if p.ndim <= 1 or "embedding" in name]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=recipe.lr,
            betas=(0.9, 0.98),
        )
        self.step, self.seconds = 0, 0.0
        self.seen = torch.zeros(self.model.vocab_size, dtype=torch.bool)

    def run(self, until: int) -> None:
        """Train up to a step, and save the state every 250 steps."""
        started = time.perf_counter() - self.seconds
        with tqdm(total=until, initial=self.step, desc="training", unit="step", mininterval=5) as bar:
            while self.step < until:
                loss = self._advance()
                self.seconds = time.perf_counter() - started
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                if self.step % 250 == 0:
                    self.save()

    def _advance(self) -> float:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        chosen, first, second = self.pictures.pick(recipe.batch, rng)
        tokens = self.tokenize([phrase(self.pictures.emoji[place], rng) for place in chosen])
        self.seen[tokens.unique()] = True
        rows = first + second
        batches = (rows[start : start + _AUGMENT_BATCH] for start in range(0, len(rows), _AUGMENT_BATCH))
        pieces = [augment(self.pictures.pixels[batch], self.size, generator) for batch in batches]
        images = torch.cat(pieces).sub_(self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)
        warm = min(1.0, (self.step + 1) / recipe.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * warm * (1 + math.cos(math.pi * self.step / recipe.steps)) / 2
        with torch.autocast("cpu", torch.bfloat16):
            features = self.model.encode_image(images).float()
            texts = F.normalize(self.model.encode_text(tokens).float(), dim=-1)
        one, other = F.normalize(features, dim=-1).chunk(2)
        scale = self.model.logit_scale.exp()
        loss = (contrast(one, texts, scale) + contrast(other, texts, scale) + contrast(one, other, scale)) / 3
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
            decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
            for kept, new in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        """Write the state for `resume`, and the current model."""
        part = self.out / "state.part"
        torch.save(
            {
                "made_with": self.made_with,
                "step": self.step,
                "seconds": self.seconds,
                "seen": self.seen,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            part,
        )
        part.replace(self.out / "state.pt")
        weights = {name: value.clone() for name, value in self.average.state_dict().items()}
        # The embedding of a word that was never trained is zero instead of its random initial value.
        weights["token_embedding.weight"][~self.seen] = 0
        weights = {n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in weights.items()}
        save_file(weights, self.out / "model.part", metadata={"format": "pt"})
        (self.out / "model.part").chmod(0o644)  # safetensors makes the file readable for its owner only
        (self.out / "model.part").replace(self.out / "model.safetensors")

    def resume(self) -> None:
        """Load the state that `save` wrote, if there is one.

        Raises:
            SystemExit: The state has another recipe, configuration or number of images.
        """
        path = self.out / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["made_with"] != self.made_with:
            raise SystemExit(
                f"{path} was written with {state['made_with']}: use the same values, or choose another --out."
            )
        self.step, self.seconds, self.seen = state["step"], state["seconds"], state["seen"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def main() -> None:
    """Start or resume a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the model")
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "emoji-clip.json")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for downloads")
    names = [one.name for one in TRAINING_SETS]
    parser.add_argument("--leave-out", choices=names, help="a set to leave out, to validate recipes on")
    for name, default in vars(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    recipe = Recipe(**{name: given[name] for name in vars(Recipe())})
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("root").setLevel(logging.WARNING)
    given["out"].mkdir(parents=True, exist_ok=True)
    emoji = read_emoji(given["cache"])
    sets = [one for one in TRAINING_SETS if one.name != given["leave_out"]]
    pictures = Pictures(emoji, ((one.hand, read_pictures(one, emoji, given["cache"])) for one in sets))
    training = Training(recipe, given["config"], pictures, given["out"])
    training.resume()
    training.run(recipe.steps)
    training.save()


if __name__ == "__main__":
    main()
