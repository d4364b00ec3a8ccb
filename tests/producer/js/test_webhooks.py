"""`verifyWebhook` and the package `standardwebhooks` agree, on what `clipqueue notify` sends and on what is wrong."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from producer.webhooks.message import Webhook, headers

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, KEY = b"fedcba9876543210fedcba98", b"0123456789abcdef01234567"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
EVENT: dict[str, Any] = {
    "task_id": "one",
    "image_id": "phöto",
    "status": "done",
    "ended_at": 1,
    "url": "u",
    "model": "m",
}

RUN = """
import { Webhook } from "standardwebhooks";
import vm from "node:vm";
import { verifyWebhook } from "clipqueue";
const { SECRET, OTHER, BODY, HEADERS } = process.env;
const sent = JSON.parse(HEADERS);
const upper = Object.fromEntries(Object.entries(sent).map(([name, value]) => [name.toUpperCase(), value]));
const lists = Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, [value]]));
const shift = (seconds) => {  // the same webhook, signed at another time
  const at = new Date(Date.now() + seconds * 1000);
  const signature = new Webhook(SECRET).sign("one", at, BODY);
  const timestamp = String(Math.floor(at / 1000));
  return { "webhook-id": "one", "webhook-timestamp": timestamp, "webhook-signature": signature };
};
const without = (name) => ({ ...sent, [name]: undefined });
const bytes = new TextEncoder().encode(BODY);
const cases = {
  plain: [BODY, sent, SECRET],
  bytes: [bytes, sent, SECRET],
  upper: [BODY, upper, SECRET],
  lists: [BODY, lists, SECRET],
  Headers: [BODY, new Headers(sent), SECRET],
  "secrets in an array": [BODY, sent, [OTHER, SECRET]],
  "secrets with spaces": [BODY, sent, `${OTHER}  ${SECRET}`],
  "standardwebhooks signs": [BODY, shift(0), SECRET],
  "old but allowed": [BODY, shift(-1000), SECRET, { toleranceS: 2000 }],
  "other signatures first": [BODY, { ...sent, "webhook-signature": `v1a,x v1,! ${sent["webhook-signature"]}` }, SECRET],
  "header of another name": [BODY, { ...sent, "webhook-x y": "\u0394" }, SECRET],
  "array of another realm": [vm.runInNewContext("Uint8Array.from(bytes)", { bytes }), sent, SECRET],
  "tampered body": [BODY + " ", sent, SECRET],
  "another id": [BODY, { ...sent, "webhook-id": "two" }, SECRET],
  "another secret": [BODY, sent, "whsec_" + btoa("x".repeat(24))],
  "old": [BODY, shift(-1000), SECRET],
  "ahead": [BODY, shift(1000), SECRET],
  "no signature": [BODY, without("webhook-signature"), SECRET],
  "no id": [BODY, without("webhook-id"), SECRET],
  "no time": [BODY, { ...sent, "webhook-timestamp": "soon" }, SECRET],
  "time in other digits": [BODY, { ...sent, "webhook-timestamp": "١٧٩٥" }, SECRET],
  "no secret": [BODY, sent, " "],
  "undefined secret": [BODY, sent, undefined],
  "short secret": [BODY, sent, "whsec_AAAA"],
  "old, and no number allowed": [BODY, shift(-1000), SECRET, { toleranceS: Number("five minutes") }],
  "bad secret": [BODY, sent, "secret"],
  "parsed": [JSON.parse(BODY), sent, SECRET],
};
const results = {};
for (const [name, [body, headers, secret, options]] of Object.entries(cases)) {
  const ours = await verifyWebhook(body, headers, secret, options).then(
    (event) => event.type,
    (error) => `${error.name}: ${error.message}`,
  );
  let theirs;
  try {
    theirs = new Webhook(secret).verify(body, headers).type;
  } catch (error) {
    theirs = "refused";
  }
  results[name] = [ours, theirs];
}
console.log(JSON.stringify(results));
"""


@pytest.fixture
def results(run_js: Callable[..., Any]) -> Any:
    webhook = Webhook.of(json.dumps(EVENT).encode())
    sent = headers(webhook, [OLD, KEY], time.time())
    return run_js(RUN, SECRET=SECRET, OTHER="whsec_" + "A" * 32, BODY=webhook.body.decode(), HEADERS=json.dumps(sent))


def test_both_accept_and_refuse_the_same(results: Any) -> None:
    accepted = [name for name, (ours, _) in results.items() if ours == "image.done"]
    assert accepted == list(results)[:12]
    for name in ("plain", "standardwebhooks signs"):
        assert results[name][1] == "image.done"
    for name in ("tampered body", "another id", "another secret", "old", "ahead", "no signature", "no id", "no time"):
        assert results[name][0].startswith("InvalidWebhook: "), results[name]
        assert results[name][1] == "refused"
    assert results["time in other digits"][0].startswith("InvalidWebhook: ")
    for name in ("no secret", "undefined secret", "short secret", "bad secret", "old, and no number allowed", "parsed"):
        assert results[name][0].startswith("ConfigurationError: "), results[name]
    assert re.search(r"100[01] s old", results["old"][0])  # the time in the header has no milliseconds
    assert "await request.text()" in results["parsed"][0]


def test_many_signatures_cost_one_signature(run_js: Callable[..., Any]) -> None:
    """Anybody may send them, with a large body."""
    calls = run_js(
        """
        import { verifyWebhook } from "clipqueue";
        let calls = 0;
        for (const name of ["sign", "verify"]) {
          const original = crypto.subtle[name].bind(crypto.subtle);
          crypto.subtle[name] = (...parts) => { calls += 1; return original(...parts); };
        }
        const headers = {
          "webhook-id": "one",
          "webhook-timestamp": String(Math.floor(Date.now() / 1000)),
          "webhook-signature": `v1,${btoa("x".repeat(32))} `.repeat(300),
        };
        await verifyWebhook("{}", headers, process.env.SECRET).catch(() => undefined);
        console.log(calls);
        """,
        SECRET=SECRET,
    )
    assert calls == 1
