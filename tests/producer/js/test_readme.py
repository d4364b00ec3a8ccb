"""The programs of the package's README run as they are written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.queued import queued_kwargs
from tests.support.upstash import Upstash

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

README = Path(__file__).parents[3] / "producer" / "js" / "README.md"
USE = """
const asked = async (job, function_ = POST) => {
  const response = await function_(new Request("http://host/", { method: "POST", body: JSON.stringify(job) }));
  return [response.status, Object.keys(await response.json())[0]];
};
const ids = ["many-1", "many-2"];
const photos = { find: () => ids.map((_id) => ({ _id, url: "http://host/" })) }; // has `map`, as a cursor
const statuses = [await asked({ id: "one", url: "http://host/" }), await asked({ id: "one", url: "ftp://host/" })];
"""


def test_the_programs_of_the_readme_run(run_js: Callable[..., Any], queue: redis.Redis, redis_url: str) -> None:
    function, _, _, many, _ = re.findall(r"```js\n(.*?)```", README.read_text(), re.DOTALL)
    end = 'console.log(JSON.stringify([...statuses, await asked({ id: "one", url: "http://host/" }), count]));'
    with Upstash(redis_url) as upstash:
        variables = {"UPSTASH_REDIS_REST_URL": upstash.url, "UPSTASH_REDIS_REST_TOKEN": upstash.token}
        results = run_js(function + USE + many + end, **variables)
    assert results == [[202, "taskId"], [400, "error"], [202, "taskId"], 2]
    assert [job["image_id"] for job in queued_kwargs(queue)] == ["one", "many-1", "many-2", "one"]
    variables["UPSTASH_REDIS_REST_URL"] = upstash.url  # its server has ended
    unavailable = 'console.log(JSON.stringify(await asked({ id: "one", url: "http://host/" })));'
    assert run_js(function + USE + unavailable, **variables) == [503, "error"]
