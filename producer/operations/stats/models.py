"""How many live workers run each model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.text import printable

if TYPE_CHECKING:
    from producer.operations.stats.reading import Reading

# Anyone who may write to Redis can write a heartbeat. Prometheus keeps a series for each model that it has ever seen.
_MAX_MODELS = 20
OTHER = "other"


@dataclass(frozen=True)
class ModelWorkers:
    """The live workers with one model.

    Attributes:
        model: Such as `ViT-B-32-quickgelu/openai`; `other` beyond the twenty that most workers run.
        images: How many consume images.
        queries: How many answer queries.
    """

    model: str
    images: int
    queries: int


def count_models(reading: Reading) -> list[ModelWorkers]:
    """Return the models of the live workers, sorted by name."""
    names = [printable(heartbeat["model"]) for heartbeat in reading.heartbeats]
    shown = {name for name, _ in Counter(names).most_common(_MAX_MODELS)}
    images: Counter[str] = Counter()
    queries: Counter[str] = Counter()
    for name, heartbeat in zip(names, reading.heartbeats, strict=True):
        model = name if name in shown else OTHER
        images[model] += heartbeat.get("images", True)
        queries[model] += heartbeat.get("queries", False)
    return [ModelWorkers(model, images[model], queries[model]) for model in sorted({*images, *queries})]
