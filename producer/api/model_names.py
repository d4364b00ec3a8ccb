"""Which model a request means. A name that no live worker has is refused: another model's vectors would be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.api.failures import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What clients of other services call a model. These weights are the same.
_SAME_MODEL = {"openai/clip-vit-base-patch32": "ViT-B-32-quickgelu/openai"}
ANY_NAMES = ("clip", "default")
_MAX_SHOWN_CHARS = 100


class ModelNames:
    """Finds the model that a name in a request means.

    Args:
        default: The model that `clip` and `default` mean; empty if the only live model is meant.
        any_model: Answer for every name with the model that `default` means.
    """

    def __init__(self, default: str = "", *, any_model: bool = False) -> None:
        self._default = _SAME_MODEL.get(default, default)
        self._any_model = any_model

    def find(self, name: str, live: Sequence[str]) -> str:
        """Return the id of the model.

        Args:
            name: The name in the request.
            live: The ids of the models of the live workers; at least one.

        Raises:
            ApiError: 404 if no live worker has the model, 400 if the name is ambiguous.
        """
        wanted = _SAME_MODEL.get(name, name)
        if wanted in live:
            return wanted
        if name in ANY_NAMES or self._any_model:
            return self._find_default(name, live)
        raise _not_found(f"the model {name[:_MAX_SHOWN_CHARS]!r} is not served here; there is {_listed(live)}")

    def stored(self, name: str) -> str | None:
        """Return the id of the model whose stored vectors are meant, although no worker may have it; None for any."""
        if name in ANY_NAMES or self._any_model:
            return self._default or None
        return _SAME_MODEL.get(name, name)

    def aliases(self, model: str, live: Sequence[str]) -> list[str]:
        """Return the other names of a live model."""
        names = [name for name, same in _SAME_MODEL.items() if same == model]
        is_default = model == self._default or (not self._default and len(live) == 1)
        return [*names, *ANY_NAMES] if is_default else names

    def _find_default(self, name: str, live: Sequence[str]) -> str:
        if self._default:
            if self._default not in live:
                raise _not_found(f"no live worker has the model {self._default!r} of CLIPQUEUE_API_MODEL")
            return self._default
        if len(live) > 1:
            raise ApiError(
                400,
                "ambiguous_model",
                f"{name[:_MAX_SHOWN_CHARS]!r} is ambiguous, because the workers run {_listed(live)}: name one of them, "
                "or set CLIPQUEUE_API_MODEL",
                param="model",
            )
        return live[0]


def _not_found(message: str) -> ApiError:
    return ApiError(404, "model_not_found", message, param="model")


def _listed(live: Sequence[str]) -> str:
    return " and ".join(sorted(live))
