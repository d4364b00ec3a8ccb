"""Provides the images that train and evaluate the small model: downloads them with `npm pack`, and renders them.

Each set shows the same emoji in a different style. Twemoji is held out: no model here is trained on it.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import tarfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import resvg_py
from PIL import Image
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SIZE = 96
"""Height and width of a rendered image in pixels."""

CACHE = Path.home() / ".cache" / "clipqueue" / "emoji"

_NAMES = ("emojibase-data@17.0.0", "emojilib@4.0.3", "emoji-datasource-twitter@16.0.0")
# The variation selector for the coloured form. Emoji ids leave it out.
_PRESENTATION = "fe0f"


@dataclass(frozen=True)
class PictureSet:
    """One artist's images of the emoji.

    Attributes:
        name: The set's name in this project.
        package: Its npm package, with the version.
        hand: The artist. Sets by the same artist look similar, so the training never pairs them.
        licence: The licence of the images.
        author: The author that the licence requires to be named.
        layout: How the package stores the images.
    """

    name: str
    package: str
    hand: str
    licence: str
    author: str
    layout: Literal["datasource", "iconify", "files"]


TRAINING_SETS = (
    PictureSet("google", "emoji-datasource-google@16.0.0", "noto", "Apache-2.0", "Google (Noto Emoji)", "datasource"),
    PictureSet("noto", "@iconify-json/noto@1.2.9", "noto", "Apache-2.0", "Google (Noto Emoji)", "iconify"),
    PictureSet("blob", "@iconify-json/noto-v1@1.2.5", "blob", "Apache-2.0", "Google (Noto Emoji, blobs)", "iconify"),
    PictureSet(
        "emojitwo", "@iconify-json/emojione@1.2.3", "emojitwo", "CC-BY-4.0", "EmojiTwo (EmojiOne 2.2)", "iconify"
    ),
    PictureSet("fxemoji", "@iconify-json/fxemoji@1.2.2", "fxemoji", "Apache-2.0", "Mozilla (FxEmojis)", "iconify"),
    PictureSet("fluent-3d", "@lobehub/fluent-emoji-3d@1.1.0", "fluent", "MIT", "Microsoft (Fluent Emoji)", "files"),
    PictureSet("fluent", "@iconify-json/fluent-emoji@1.2.7", "fluent", "MIT", "Microsoft (Fluent Emoji)", "iconify"),
    PictureSet("flat", "@iconify-json/fluent-emoji-flat@1.2.6", "flat", "MIT", "Microsoft (Fluent Emoji)", "iconify"),
)
HELD_OUT = PictureSet(
    "twemoji",
    "emoji-datasource-twitter@16.0.0",
    "twemoji",
    "CC-BY-4.0",
    "Twitter and contributors (Twemoji)",
    "datasource",
)


@dataclass(frozen=True)
class Emoji:
    """One emoji and its names.

    Attributes:
        id: Its code points in lower-case hexadecimal, joined by `-`, such as `1f34e`.
        label: Its English name in the Unicode CLDR, such as `red apple`.
        names: Other names.
        keywords: Single words that are related to it.
    """

    id: str
    label: str
    names: tuple[str, ...]
    keywords: tuple[str, ...]


def read_emoji(cache: Path = CACHE) -> list[Emoji]:
    """Return every emoji of the held-out set that has a name, sorted by id. Downloads the packages if necessary."""
    base, lib, datasource = (_fetch(package, cache) for package in _NAMES)
    labels = {_emoji_id(entry["hexcode"]): entry for entry in _read_json(base / "en/data.json")}
    keywords = {_emoji_id_of_text(text): words for text, words in _read_json(lib / "dist/emoji-en-US.json").items()}
    emoji = []
    for entry in _read_json(datasource / "emoji.json"):
        key = _emoji_id(entry["unified"])
        if key not in labels or not entry["has_img_twitter"]:
            continue
        label = labels[key]["label"].lower()
        names = {_plain(name) for name in (entry["name"] or "", *entry["short_names"])} - {"", label}
        words = {_plain(word) for word in (*labels[key].get("tags", ()), *keywords.get(key, ()))} - {"", label} - names
        emoji.append(Emoji(key, label, tuple(sorted(names)), tuple(sorted(words))))
    return sorted(emoji, key=lambda one: one.id)


def read_pictures(picture_set: PictureSet, emoji: list[Emoji], cache: Path = CACHE) -> dict[str, NDArray[np.uint8]]:
    """Return the images of a set, by emoji id. Downloads and renders them if necessary.

    Returns:
        uint8 of shape (SIZE, SIZE, 4), RGBA with straight alpha, for each emoji in the set.
    """
    drawn = cache / f"{picture_set.name}-{picture_set.package.rpartition('@')[2]}-{SIZE}.npz"
    if not drawn.exists():
        sources = dict(read_files(picture_set, emoji, cache))
        with ProcessPoolExecutor() as pool:
            pictures = list(
                tqdm(
                    pool.map(_render, sources.values(), chunksize=16),
                    desc=f"rendering {picture_set.name}",
                    total=len(sources),
                    leave=False,
                )
            )
        part = drawn.with_suffix(".part.npz")
        np.savez_compressed(part, ids=np.array(list(sources)), pictures=np.stack(pictures))
        part.replace(drawn)
    with np.load(drawn) as stored:
        return dict(zip(stored["ids"].tolist(), stored["pictures"], strict=True))


def read_files(picture_set: PictureSet, emoji: list[Emoji], cache: Path = CACHE) -> Iterator[tuple[str, bytes]]:
    """Yield emoji ids with the original image file: PNG, WebP or SVG. Downloads the set if necessary."""
    folder = _fetch(picture_set.package, cache)
    wanted = {one.id for one in emoji}
    if picture_set.layout == "datasource":
        vendor = picture_set.package.partition("@")[0].rpartition("-")[2]
        for entry in _read_json(folder / "emoji.json"):
            key = _emoji_id(entry["unified"])
            if key in wanted and entry[f"has_img_{vendor}"]:
                yield key, (folder / f"img/{vendor}/64" / entry["image"]).read_bytes()
    elif picture_set.layout == "files":
        for path in sorted((folder / "assets").iterdir()):
            if (key := _emoji_id(path.stem)) in wanted:
                yield key, path.read_bytes()
    else:
        yield from _iconify_sources(folder, emoji)


def _iconify_sources(folder: Path, emoji: list[Emoji]) -> Iterator[tuple[str, bytes]]:
    """Read an Iconify set: one JSON file of SVG bodies. It finds icons by code points, else by name."""
    icons = _read_json(folder / "icons.json")
    aliases = {alias: entry["parent"] for alias, entry in icons.get("aliases", {}).items()}
    by_name = {_squash(name): name for name in (*icons["icons"], *aliases)}
    chars = folder / "chars.json"
    by_id = {_emoji_id(points): name for points, name in _read_json(chars).items()} if chars.exists() else {}
    for one in emoji:
        names = (_squash(name) for name in (one.label, *one.names))
        name = by_id.get(one.id) or next((by_name[known] for known in names if known in by_name), None)
        while name in aliases:
            name = aliases[name]
        if name is None:
            continue
        icon = icons["icons"][name]
        width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
        yield (
            one.id,
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'.encode(),
        )


def _render(source: bytes) -> NDArray[np.uint8]:
    """Render an image, SVG or a format that Pillow reads, as RGBA of SIZE x SIZE, centred."""
    if source.startswith(b"<svg"):
        source = bytes(resvg_py.svg_to_bytes(source.decode(), width=SIZE, height=SIZE, skip_system_fonts=True))
    with Image.open(BytesIO(source)) as image:
        drawn = image.convert("RGBA")
    # Resize with premultiplied alpha, so that the invisible colour of transparent pixels does not show at the edges.
    drawn = drawn.convert("RGBa")
    scale = SIZE / max(drawn.size)
    drawn = drawn.resize((round(drawn.width * scale), round(drawn.height * scale)), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBa", (SIZE, SIZE))
    canvas.paste(drawn, ((SIZE - drawn.width) // 2, (SIZE - drawn.height) // 2))
    return np.asarray(canvas.convert("RGBA"))


def _fetch(package: str, cache: Path) -> Path:
    """Return the unpacked folder of an npm package, downloaded with `npm pack` the first time."""
    folder: Path = cache / re.sub(r"\W+", "-", package).strip("-")
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    logger.info("fetching %s", package)
    command = ["npm", "pack", "--silent", "--pack-destination", str(cache), package]
    packed = cache / subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    part = folder.with_suffix(".part")
    with tarfile.open(packed) as archive:
        archive.extractall(part, filter="data")
    (part / "package").rename(folder)
    part.rmdir()
    packed.unlink()
    return folder


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _emoji_id(points: str) -> str:
    return "-".join(part for part in points.lower().split("-") if part != _PRESENTATION)


def _emoji_id_of_text(text: str) -> str:
    return _emoji_id("-".join(f"{ord(character):04x}" for character in text))


def _plain(name: str) -> str:
    return re.sub(r"[_\W]+", " ", name.lower()).strip()


def _squash(name: str) -> str:
    """Return a name in the form that all sets share: `Flag for Flag-France` and `flag: France` become equal."""
    words = re.sub(r"[^a-z0-9]+", " ", re.sub("['\u2019]", "", name.lower())).split()
    return ("flag" if "flag" in words else "") + "".join(word for word in words if word not in ("flag", "for"))
