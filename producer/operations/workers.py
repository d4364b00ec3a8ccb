"""What the commands need to know of the live workers: where they write, and which model they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.client.workers import read_workers
from producer.contract.errors import ConfigurationError

if TYPE_CHECKING:
    from producer.client.broker import Broker
    from producer.contract.fields import WorkerHeartbeat
    from producer.documents.documents import ImageDocuments


def check_same_collection(broker: Broker, documents: ImageDocuments) -> None:
    """Check that a live worker writes to this collection, since a message does not name one.

    Raises:
        ConfigurationError: There are live workers, and all of them write elsewhere.
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not return the workers' heartbeats") as redis:
        heartbeats = read_workers(redis).consumers
    places = sorted({(heartbeat["database"], heartbeat["collection"]) for heartbeat in heartbeats})
    here = (documents.database, documents.name)
    if places and here not in places:
        names = " and ".join(".".join(place) for place in places)
        raise ConfigurationError(
            f"the workers write to {names}, but this command reads {'.'.join(here)}: give both the same database and "
            "collection"
        )


def find_worker_model(broker: Broker, documents: ImageDocuments) -> str | None:
    """Return the model of the live workers that write to this collection; None if there are no such workers.

    Raises:
        ConfigurationError: They run several models.
        BrokerUnavailable: Redis could not be reached.
    """
    models = sorted({heartbeat["model"] for heartbeat in _workers_of(broker, documents)})
    if len(models) > 1:
        raise ConfigurationError(f"the workers run several models, {models!r}: choose the current one with --model")
    return models[0] if models else None


def has_worker(broker: Broker, documents: ImageDocuments) -> bool:
    """Return whether a live worker writes to this collection.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    return bool(_workers_of(broker, documents))


def _workers_of(broker: Broker, documents: ImageDocuments) -> list[WorkerHeartbeat]:
    with broker.commands("did not return the workers' heartbeats") as redis:
        heartbeats = read_workers(redis).consumers
    here = (documents.database, documents.name)
    return [heartbeat for heartbeat in heartbeats if (heartbeat["database"], heartbeat["collection"]) == here]
