"""Jobs whose URL leads to a blocked address, in many spellings. A real worker runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.dns import GARBAGE, REFUSED, SERVFAIL, SILENCE, NameServer
from tests.support.hostile import FETCH_TOTAL_S
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.hostile import HostileWorker, Outcome

# URL -> code. This worker allows 127.0.0.1 and no other address of loopback.
SPELLINGS = {
    "http://127.0.0.2/": "blocked_address",
    "http://127.0.0.2./": "blocked_address",
    "http://127.2/": "blocked_address",
    "http://127.0.2/": "blocked_address",
    "http://2130706434/": "blocked_address",
    "http://017700000002/": "blocked_address",
    "http://0x7f000002/": "blocked_address",
    "http://0x7f.0.0.0x2/": "blocked_address",
    "http://0177.0.0.02/": "blocked_address",
    "http://0X7F.1.2/": "blocked_address",
    "http://0/": "blocked_address",
    "http://0.0.0.0/": "blocked_address",
    "http://[::]/": "blocked_address",
    "http://[::1]/": "blocked_address",
    "http://[0:0:0:0:0:0:0:1]/": "blocked_address",
    "http://[::ffff:127.0.0.2]/": "blocked_address",
    "http://[::ffff:7f00:2]/": "blocked_address",
    "http://[::127.0.0.1]/": "blocked_address",
    "http://[::ffff:0:7f00:1]/": "blocked_address",
    "http://[64:ff9b::7f00:1]/": "blocked_address",
    "http://[64:ff9b:1::7f00:1]/": "blocked_address",
    "http://[2002:7f00:1::]/": "blocked_address",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/": "blocked_address",
    "http://[fe80::5efe:127.0.0.1]/": "blocked_address",
    "http://[2a00::5efe:7f00:1]/": "blocked_address",
    "http://[fe80::1]/": "blocked_address",
    "http://[fe80::1%25eth0]/": "invalid_job",
    "http://[fe80::1%25lo]/": "invalid_job",
    "http://[fec0::1]/": "blocked_address",
    "http://[fc00::1]/": "blocked_address",
    "http://[fd00:ec2::254]/latest/meta-data/": "blocked_address",
    "http://[ff02::1]/": "blocked_address",
    "http://[2001:db8::1]/": "blocked_address",
    "http://[3fff::1]/": "blocked_address",
    "http://[5f00::1]/": "blocked_address",
    "http://[100::1]/": "blocked_address",
    "http://10.0.0.1/": "blocked_address",
    "http://100.64.0.1/": "blocked_address",
    "http://100.100.100.200/latest/meta-data/": "blocked_address",
    "http://168.63.129.16/": "blocked_address",
    "http://169.254.169.254/latest/meta-data/": "blocked_address",
    "http://169.254.170.2/v2/credentials/": "blocked_address",
    "http://[::ffff:a9fe:a9fe]/": "blocked_address",
    "http://2852039166/": "blocked_address",
    "http://172.16.0.1/": "blocked_address",
    "http://192.0.0.192/": "blocked_address",
    "http://192.168.1.1/": "blocked_address",
    "http://198.18.0.1/": "blocked_address",
    "http://203.0.113.1/": "blocked_address",
    "http://224.0.0.1/": "blocked_address",
    "http://255.255.255.255/": "blocked_address",
    "https://10.0.0.1/": "blocked_address",
    # Some libraries read full-width digits and ideographic full stops as digits and dots.
    "http://\uff11\uff12\uff17.0.0.2/": "bad_url",
    "http://127\u30020\u30020\u30022/": "bad_url",
    "http://\u2460\u2461\u2466.0.0.2/": "bad_url",
    "http://127.0.0.1:22/": "blocked_address",
    "http://127.0.0.1:25/": "blocked_address",
    "http://127.0.0.1:65001/": "blocked_address",
    "https://127.0.0.1:1023/": "blocked_address",
    "http://127.0.0.1:0/": "invalid_job",
    "http://127.0.0.1:65536/": "invalid_job",
    "http://127.0.0.1:-80/": "invalid_job",
    "http://user@127.0.0.2/": "invalid_job",
    "http://user:password@127.0.0.2/": "invalid_job",
    "http://:@127.0.0.2/": "invalid_job",
    "http://127.0.0.1@127.0.0.2/": "invalid_job",
    "http://127.0.0.2:80#@127.0.0.1/": "blocked_address",
    "http://127.0.0.2?@127.0.0.1/": "blocked_address",
    "http://127.0.0.1\\@127.0.0.2/": "invalid_job",
    "http://127.0.0.1%2f@127.0.0.2/": "invalid_job",
    "http://127.0.0.2%00.test/": "invalid_job",
    "http://127.0.0.2\t/": "invalid_job",
    "http://127.0.0.2\r\nHost: x/": "invalid_job",
    "http:///127.0.0.2/": "invalid_job",
    "http:127.0.0.2/": "invalid_job",
    "//127.0.0.2/": "invalid_job",
    "ftp://127.0.0.1/a.jpg": "invalid_job",
    "file:///etc/passwd": "invalid_job",
    "gopher://127.0.0.1:6379/_FLUSHALL": "invalid_job",
    "data:image/png;base64,iVBORw0KGgo=": "invalid_job",
    "javascript:alert(1)": "invalid_job",
    "unix:///var/run/docker.sock": "invalid_job",
    "http://[::1": "invalid_job",
    "http://[v1.x]/": "bad_url",
    "http://[]/": "invalid_job",
    "http://./": "bad_url",
    "http://*.test/": "bad_url",
    "http://.test/": "bad_url",
    "http://" + "a" * 64 + ".test/": "unknown_host",
    "http://" + "a." * 200 + "test/": "unknown_host",
    "http://127.0.0.2/" + "a" * 8192: "invalid_job",
}

# Name -> (answers of the name server in order, code).
NAMES: dict[str, tuple[list[list[str]], str]] = {
    "public-looking.test": ([["10.0.0.1"]], "blocked_address"),
    "metadata.google.internal": ([["169.254.169.254"]], "blocked_address"),
    "one-of-two.test": ([["127.0.0.1", "10.0.0.1"]], "blocked_address"),
    "one-of-many.test": ([["127.0.0.1"] * 20 + ["192.168.0.1"]], "blocked_address"),
    "sixth.test": ([["127.0.0.1", "::1"]], "blocked_address"),
    "mapped.test": ([["::ffff:a00:1"]], "blocked_address"),
    "mapped-allowed.test": ([["::ffff:7f00:1"]], "done"),
    "nat64.test": ([["64:ff9b::a00:1"]], "blocked_address"),
    "link-local.test": ([["fe80::1"]], "blocked_address"),
    "alias-inside.test": ([["CNAME inside.test"]], "blocked_address"),
    "inside.test": ([["172.16.0.1"]], "blocked_address"),
    "alias-good.test": ([["CNAME good.test"]], "done"),
    "good.test": ([["127.0.0.1"]], "done"),
    # DNS rebinding: the connection goes to the address that was checked, so a second answer has no effect.
    "rebinds.test": ([["127.0.0.1"], ["10.0.0.1"]], "done"),
    "rebinds-before.test": ([["10.0.0.1"], ["127.0.0.1"]], "blocked_address"),
    "no-address.test": ([["TXT hello"]], "unknown_host"),
    "no-records.test": ([[]], "unknown_host"),
    "fails.test": ([[SERVFAIL]], "dns_failure"),
    "refuses.test": ([[REFUSED]], "dns_failure"),
    "silent.test": ([[SILENCE]], "dns_failure"),
    "garbage.test": ([[GARBAGE]], "dns_failure"),
}


@pytest.fixture(scope="module")
def images() -> Iterator[ImageServer]:
    server = ImageServer()
    server.add("/a.jpg", small_jpeg())
    yield server
    server.close()


@pytest.fixture(scope="module")
def outcomes(hostile_worker: HostileWorker, names: NameServer, images: ImageServer) -> dict[str, Outcome]:
    port = images.url.rpartition(":")[2]
    for name, (answers, _) in NAMES.items():
        names.add(name, *answers)
    by_name = {url: url for url in SPELLINGS}
    by_name |= {f"http://{name}:{port}/a.jpg": f"http://{name}:{port}/a.jpg" for name in NAMES}
    by_name |= {
        "a trailing dot": f"http://good.test.:{port}/a.jpg",
        "upper case": f"HTTP://GOOD.Test:{port}/a.jpg",
        "unknown": "http://no-such-name.test/",
        "an internationalized name": "http://b\xfccher.test/",
    }
    return {name.removesuffix(f":{port}/a.jpg"): outcome for name, outcome in hostile_worker.run(by_name).items()}


@pytest.mark.parametrize("url", SPELLINGS)
def test_a_job_with_a_suspicious_url_ends_with_its_code(url: str, outcomes: dict[str, Outcome]) -> None:
    outcomes[url].must_be(SPELLINGS[url], "fetch", FETCH_TOTAL_S)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_with_a_suspicious_name_ends_with_its_code(name: str, outcomes: dict[str, Outcome]) -> None:
    outcomes[f"http://{name}"].must_be(NAMES[name][1], "fetch", FETCH_TOTAL_S)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a trailing dot", "done"),
        ("upper case", "done"),
        ("unknown", "unknown_host"),
        ("an internationalized name", "unknown_host"),
    ],
)
def test_a_job_with_an_unusual_name_ends_with_its_code(name: str, code: str, outcomes: dict[str, Outcome]) -> None:
    outcomes[name].must_be(code, "fetch", FETCH_TOTAL_S)


def test_a_name_is_looked_up_once_for_each_download(outcomes: dict[str, Outcome], names: NameServer) -> None:
    assert outcomes["http://rebinds.test"].code == "done"
    assert names.asked["rebinds.test"] == 1


def test_the_worker_still_embeds_images(outcomes: dict[str, Outcome], hostile_worker: HostileWorker) -> None:
    assert hostile_worker.embeds_a_good_image()
