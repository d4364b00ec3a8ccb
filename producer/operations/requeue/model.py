"""Finds the checkpoint of a backfill, and chooses the model that it compares vectors with.

What was asked is the checkpoint's key. A model that the workers reported is only stored in it: after they have stopped,
the backfill continues with the same model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.errors import ConfigurationError
from producer.operations.requeue.checkpoint import Checkpoint
from producer.operations.requeue.selection import MISSING_OR_STALE, STALE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producer.client.broker import Broker
    from producer.operations.requeue.checkpoint import Stored
    from producer.operations.requeue.selection import Selection


def find_checkpoint(broker: Broker, identity: Sequence[str | None], model: str | None) -> Checkpoint:
    """Return the checkpoint of a backfill.

    Args:
        broker: The Redis of the queue.
        identity: What was asked, without the model.
        model: The model that the user named. With it, a backfill is continued that was started without naming it.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    unnamed = Checkpoint(broker, identity)
    if model is None:
        return unnamed
    named = Checkpoint(broker, [*identity, model])
    stored = None if named.read() else unnamed.read()
    return unnamed if stored and stored.model == model else named


def choose_model(
    selection: Selection, stored: Stored | None, find_live: Callable[[], str | None], note: Callable[[str], object]
) -> str | None:
    """Return the model to compare vectors with; None if only URLs are compared.

    Args:
        selection: The selected documents; its model is the one that the user named.
        stored: What an earlier run has stored, if this one continues it.
        find_live: Returns the model of the live workers; None if there are none.
        note: Called with each sentence that the user should read.

    Raises:
        ConfigurationError: There is no model to compare, or the workers run another one than the stored.
    """
    if selection.model is not None or selection.only not in (MISSING_OR_STALE, STALE):
        return selection.model
    live = find_live()
    if stored is not None:
        return _continue_with(stored.model, live, note)
    if live is None and selection.only == STALE:
        raise ConfigurationError("no live worker reports its model; set it with --model")
    if live is None:
        note("no live worker reports its model: only URLs are compared. Set --model to compare models too.")
    return live


def _continue_with(model: str | None, live: str | None, note: Callable[[str], object]) -> str | None:
    if model is None and live is not None:
        note("this backfill started without a live worker: only URLs are compared. --restart compares models too.")
    elif live is None and model is not None:
        note(f"no live worker reports its model: continuing with {model}")
    elif live != model:
        raise ConfigurationError(
            f"this backfill was started for the model {model}, and the workers now run {live}: give --restart to start "
            f"over for {live}, or --model {model} to continue for {model}"
        )
    return model
