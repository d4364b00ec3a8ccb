"""A webhook's id, body and signature, and the secrets that sign it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from producer.contract.errors import ConfigurationError
from producer.webhooks.message import Webhook, headers, sign
from producer.webhooks.settings import WebhookSettings, parse_secrets

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ENDED: dict[str, Any] = {"task_id": "a-1", "image_id": "photo", "status": "done", "ended_at": 1_795_000_000_123}


def webhook(**fields: Any) -> Webhook:
    return Webhook.of(json.dumps(ENDED | fields).encode())


def test_the_signature_is_that_of_standard_webhooks() -> None:
    assert sign(KEY, "msg_1", 1_700_000_000, b'{"a":1}') == "v1,WUgAXU8H0NQ1/7M+TtMwKma2b74a3/TCgekiM3YUdN8="


def test_the_body_of_a_job_that_is_done() -> None:
    made = webhook(url="https://e.example/a.jpg", model="m")
    assert made.id == "a-1"
    assert made.body == (
        b'{"type":"image.done","timestamp":"2026-11-18T11:06:40.123Z",'
        b'"data":{"id":"photo","url":"https://e.example/a.jpg","model":"m"}}'
    )


def test_the_body_of_a_job_that_failed() -> None:
    error = {"code": "http_404", "stage": "fetch", "message": "it answered 404"}
    body = json.loads(webhook(status="failed", error=error, image_id={"$oid": "65a1b2c3d4e5f60718293a4b"}).body)
    assert body["type"] == "image.failed"
    assert body["data"] == {"id": {"$oid": "65a1b2c3d4e5f60718293a4b"}, "error": error}


@pytest.mark.parametrize("task_id", ["", "a.b", "two words", "ü", "x" * 65, "a\nb"])
def test_an_id_that_is_not_safe_in_the_signed_text_is_replaced(task_id: str) -> None:
    made = webhook(task_id=task_id).id
    assert made == webhook(task_id=task_id).id != webhook(task_id=task_id + "!").id
    assert len(made) == 32
    assert made.isalnum()


@pytest.mark.parametrize(
    "event", [b"", b"[]", b"{}", b"1", b"\xff", b'{"task_id": 1}', json.dumps(ENDED).encode()[:-3]]
)
def test_what_no_worker_wrote_is_refused(event: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Webhook.of(event)


def test_each_secret_signs_each_attempt_anew() -> None:
    first, second = (headers(webhook(), [KEY, b"x" * 24], now_s) for now_s in (1.9, 2.0))
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1", "2")
    assert first["webhook-signature"].split(" ") == [sign(key, "a-1", 1, webhook().body) for key in (KEY, b"x" * 24)]
    assert first["webhook-id"] == second["webhook-id"]


def test_secrets_are_24_to_64_bytes_separated_by_spaces() -> None:
    longest = b"\xff" * 64
    assert parse_secrets(f" {SECRET}  whsec_{base64.b64encode(longest).decode()}\n") == (KEY, longest)


@pytest.mark.parametrize(
    "text", ["", " ", SECRET[6:], "whsec_", SECRET + "!", SECRET[:-4], "whsec_" + "A" * 88, f"{SECRET},{SECRET}", "ü"]
)
def test_an_unusable_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CLIPQUEUE_WEBHOOK_SECRET") as raised:
        parse_secrets(text)
    assert "MDEy" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "e.example/hook",
        "ftp://e.example/",
        "https://",
        "https://user:secret@e.example/",
        "https://e.example/a secret",
    ],
)
def test_an_unusable_url_is_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_WEBHOOK_URL", url)
    monkeypatch.setenv("CLIPQUEUE_WEBHOOK_SECRET", SECRET)
    with pytest.raises(ConfigurationError, match="CLIPQUEUE_WEBHOOK_URL") as raised:
        WebhookSettings.from_env()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000/hook", "http://[::1]/", "https://e.example/hook?key=1"])
def test_an_address_may_be_private(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_WEBHOOK_URL", url)
    monkeypatch.setenv("CLIPQUEUE_WEBHOOK_SECRET", SECRET)
    settings = WebhookSettings.from_env()
    assert (settings.url, settings.secrets) == (url, (KEY,))
    assert SECRET[6:] not in repr(settings)
