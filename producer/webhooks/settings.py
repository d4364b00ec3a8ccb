"""Where webhooks are sent, and the secrets that sign them."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field

from producer.contract.errors import ConfigurationError, InvalidJob
from producer.contract.urls import check_url

URL, SECRET = "CLIPQUEUE_WEBHOOK_URL", "CLIPQUEUE_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64
_MAKE_ONE = 'make one with: echo "whsec_$(openssl rand -base64 32)"'


@dataclass(frozen=True)
class WebhookSettings:
    """Where webhooks are sent.

    Attributes:
        url: An http or https URL without user name and password. Its path and its query may be secrets.
        secrets: The keys, of 24 to 64 bytes each. Each signs every webhook, so that they can be rotated.
    """

    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def from_env(cls) -> WebhookSettings:
        """Read CLIPQUEUE_WEBHOOK_URL and CLIPQUEUE_WEBHOOK_SECRET.

        Raises:
            ConfigurationError: One of them is not set, or cannot be used. The message repeats neither.
        """
        url = os.environ.get(URL)
        if not url:
            raise ConfigurationError(f"{URL} is not set; set it here and for the workers")
        try:
            check_url(url)
        except InvalidJob as exc:
            raise ConfigurationError(f"{URL}: {exc}") from None
        return cls(url, parse_secrets(os.environ.get(SECRET, "")))


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Read secrets, separated by spaces: each is `whsec_` and 24 to 64 bytes as base64.

    Raises:
        ConfigurationError: There is none, or one has another form. The message does not repeat it.
    """
    secrets = tuple(_parse_secret(one) for one in text.split())
    if not secrets:
        raise ConfigurationError(f"{SECRET} is not set; {_MAKE_ONE}")
    return secrets


def _parse_secret(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not _MIN_BYTES <= len(key) <= _MAX_BYTES:
        raise ConfigurationError(
            f"{SECRET}: a secret is {_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} bytes as base64; {_MAKE_ONE}"
        )
    return key
