"""The Cloudflare Worker in workerd: it enqueues over REST, over TCP and by the API, and caches searches."""

from __future__ import annotations

import tomllib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
from ephemeral_port_reserve import reserve

from tests.support.api import KEY, running_api
from tests.support.bundles import WORKER, bundle
from tests.support.js_package import SOURCE
from tests.support.queued import accepted_jobs
from tests.support.upstash import Upstash
from tests.support.waiting import wait_for
from tests.support.workerd import running_workerd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from producer.local.stack import Stack

CONFIG = tomllib.loads((SOURCE / "examples/cloudflare/wrangler.toml").read_text())
TOKEN = "upload-token"
URL = "https://cdn.example/cat.jpg"
WAYS = ["rest", "tcp", "api"]


@pytest.fixture(scope="module")
def script(examples: Path) -> Path:
    return bundle(examples / "cloudflare" / CONFIG["main"], examples / "cloudflare" / "bundle.js", WORKER)


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> Iterator[dict[str, str]]:
    """What the Worker is given besides wrangler.toml; the jobs go to a Redis database without a worker."""
    redis_url = stack.redis_url.removesuffix("0") + "6"
    with (
        Upstash(redis_url) as rest,
        running_api(REDIS_URL=redis_url, MONGODB_URI=f"{stack.mongodb_uri}-edge") as api,
    ):
        yield {
            "UPLOAD_TOKEN": TOKEN,
            "CLIPQUEUE_URL": api.url,
            "CLIPQUEUE_KEY": KEY,
            "REDIS_URL": redis_url,
            "UPSTASH_REDIS_REST_URL": rest.url,
            "UPSTASH_REDIS_REST_TOKEN": rest.token,
        }


@contextmanager
def running_worker(script: Path, folder: Path, variables: dict[str, str]) -> Iterator[str]:
    env = {**CONFIG["vars"], **variables}
    with running_workerd(script, folder / "workerd", CONFIG["compatibility_date"], env) as url:
        yield url


def enqueue(url: str, job: Any, token: str = TOKEN) -> requests.Response:
    headers = {"authorization": f"Bearer {token}"}
    return requests.post(f"{url}/enqueue", json=job, headers=headers, timeout=30)


def search(url: str, query: str) -> requests.Response:
    return requests.get(f"{url}/search?{query}", timeout=30)


@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_enqueued(
    way: str, script: Path, secrets: dict[str, str], queue: redis.Redis, tmp_path: Path, new_id: str
) -> None:
    with running_worker(script, tmp_path, {**secrets, "ENQUEUE_BY": way}) as url:
        # Twice: a connection of the first request could not be used in the second.
        answers = [enqueue(url, {"id": new_id, "url": URL}) for _ in range(2)]
        refused = enqueue(url, {"id": new_id, "url": "ftp://cdn.example/cat.jpg"})
        stranger = enqueue(url, {"id": new_id, "url": URL}, token="undefined")
        lost = requests.get(f"{url}/enqueue", timeout=30)
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "queued")] * 2
    assert (refused.status_code, stranger.status_code, lost.status_code) == (400, 401, 404)
    assert "http" in refused.json()["error"]
    assert [(job["image_id"], job["url"]) for job in accepted_jobs(queue)] == [(new_id, URL)] * 2


@pytest.mark.parametrize("way", WAYS)
def test_a_service_that_is_away_is_a_503_and_its_secrets_stay_inside(
    way: str, script: Path, secrets: dict[str, str], tmp_path: Path, new_id: str
) -> None:
    away = f"127.0.0.1:{reserve('127.0.0.1')}"
    urls = {
        "REDIS_URL": f"redis://:pass-word@{away}",
        "UPSTASH_REDIS_REST_URL": f"http://{away}",
        "CLIPQUEUE_URL": f"http://{away}",
    }
    with running_worker(script, tmp_path, {**secrets, **urls, "ENQUEUE_BY": way}) as url:
        answer = enqueue(url, {"id": new_id, "url": URL})
    log = (tmp_path / "workerd" / "workerd.log").read_text()
    assert away in log
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (503, "1", {"error": "try again"})
    assert not any(secret in log for secret in ("pass-word", secrets["UPSTASH_REDIS_REST_TOKEN"], KEY))


def test_without_a_token_nobody_may_enqueue(script: Path, secrets: dict[str, str], tmp_path: Path) -> None:
    without = {name: value for name, value in secrets.items() if name != "UPLOAD_TOKEN"}
    with running_worker(script, tmp_path, without) as url:
        assert enqueue(url, {"id": "a", "url": URL}, token="undefined").status_code == 401


def test_a_search_is_answered_from_the_cache(script: Path, stack: Stack, worker_log: Path, tmp_path: Path) -> None:
    with ExitStack() as until_the_end:
        with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
            variables = {"CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY}
            url = until_the_end.enter_context(running_worker(script, tmp_path, variables))
            first = search(url, "q=a+cat")
            assert search(url, "q=+").status_code == 400
            wait_for(lambda: search(url, "q=a+cat").headers.get("cf-cache-status") == "HIT", "the answer to be cached")
        # The API has stopped now.
        assert first.status_code == 200
        assert first.headers["cache-control"] == "public, max-age=30"
        again = search(url, "utm_source=mail&q=a+cat")
        assert (again.status_code, again.json()) == (200, first.json())
        assert search(url, "q=a+dog").status_code == 503
