"""docs/monitoring: the rules hold what they promise, and rules and dashboard name only what the code has."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.monitoring import dashboard, page
from tests.monitoring.ask import substitute
from tests.monitoring.metrics import described
from tests.monitoring.prometheus import FOLDER, configuration
from tests.test_deployment import compose
from tests.test_docs_commands import complaint
from worker.telemetry.figures import Figures

RULES = FOLDER / "clipqueue.rules.yml"
TESTS = FOLDER / "clipqueue.rules.test.yml"
# What Prometheus makes itself.
OWN_SERIES = {"up", "ALERTS"}
SERIES = re.compile(r"(?<![\w:\"])(?:clipqueue|process)[\w:]+(?!\w)|\bup\b(?=\{)|\bALERTS\b")


def promtool(*arguments: str) -> str:
    program = shutil.which("promtool")
    if not program:
        pytest.skip("promtool is not installed")
    done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_series() -> set[str]:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    of_code = {name for metrics in described().values() for metric in metrics for name in metric.series()}
    return of_code | recorded | OWN_SERIES


def queries() -> dict[str, str]:
    """Return all queries of the dashboard, with those of its variables and annotations."""
    board = json.loads(dashboard.FILE.read_text())
    found = {
        f"{panel['title']} {at}": target["expr"]
        for panel in board["panels"]
        for at, target in enumerate(panel.get("targets", []))
    }
    found |= {one["name"]: one["expr"] for one in board["annotations"]["list"]}
    return found | {one["name"]: one["definition"] for one in board["templating"]["list"] if "definition" in one}


def test_the_rules_fire_when_they_must_and_are_silent_in_near_misses() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS.name)


def test_prometheus_accepts_its_configuration_and_the_rules() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", RULES.name)


@pytest.mark.parametrize("alert", page.alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do_and_has_a_test_in_which_it_fires(alert: dict[str, Any]) -> None:
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "action"}
    assert all("\n" not in text and text.endswith(".") for text in alert["annotations"].values())
    assert f'alertname="{alert["alert"]}"' in TESTS.read_text()


def test_the_commands_of_the_actions_exist() -> None:
    found = [
        shlex.split(re.sub(r"\{\{.*?\}\}", "CODE", code))
        for alert in page.alerts()
        for code in re.findall(r"`([^`]+)`", alert["annotations"]["action"])
    ]
    ours = [tuple(words[1:]) for words in found if words[0] == "clipqueue"]
    assert len(ours) > 10
    assert {one: why for one in ours if (why := complaint(one))} == {}
    composed = {words[-1] for words in found if words[:2] == ["docker", "compose"] and words[2] in ("logs", "restart")}
    assert composed <= compose().keys()


def test_every_query_of_the_dashboard_and_the_rules_names_what_the_code_has() -> None:
    known = known_series()
    expressions = queries() | {rule.get("alert", rule.get("record")): rule["expr"] for rule in rules()}
    named = {name: set(SERIES.findall(expression)) for name, expression in expressions.items()}
    assert all(named.values()), "each names something"
    assert {name: series - known for name, series in named.items() if series - known} == {}


def test_the_buckets_that_rules_name_exist() -> None:
    bounds = {str(float(bound)) for bound in Figures().stages["fetch"].bounds}
    named = {bound for rule in rules() for bound in re.findall(r'le="([^"]+)"', rule["expr"])}
    assert named <= bounds


def test_every_metric_of_the_code_is_used() -> None:
    """What nobody looks at need not be measured. The version is for people who look at single series."""
    expressions = "\n".join([*queries().values(), *(rule["expr"] for rule in rules())])
    unused = {
        metric.name
        for metrics in described().values()
        for metric in metrics
        if metric.name.startswith("clipqueue") and not any(name in expressions for name in metric.series())
    }
    assert unused == {"clipqueue_worker_info", "clipqueue_build_info"}


def test_the_dashboard_is_up_to_date() -> None:
    assert dashboard.FILE.read_text() == dashboard.render(), f"regenerate it: {dashboard.COMMAND}"


def test_the_panels_have_places_of_their_own_and_known_variables() -> None:
    board = json.loads(dashboard.FILE.read_text())
    cells = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "no panel covers another one"
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all("$" not in substitute(query, 15) for query in queries().values())
    assert {one["name"] for one in board["templating"]["list"]} == {"datasource", "instance"}


def test_the_page_is_up_to_date() -> None:
    text = page.PAGE.read_text()
    assert text == page.render(text), f"regenerate it: {page.COMMAND}"
    assert all(f"| `{alert['alert']}` |" in text for alert in page.alerts())


def test_the_test_s_configuration_differs_in_targets_and_interval_only() -> None:
    ours = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    for_test = configuration({"clipqueue-worker": ["127.0.0.1:1"]}, 5)
    assert [job["job_name"] for job in for_test["scrape_configs"]] == [
        job["job_name"] for job in ours["scrape_configs"]
    ]
    assert for_test["rule_files"] == ours["rule_files"]
    assert for_test["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:1"]}]


def test_compose_starts_prometheus_and_grafana_with_the_files_and_scrapes_services_that_serve_metrics() -> None:
    services = compose()
    mounted = {
        volume.split(":")[0].removeprefix("./docs/monitoring/")
        for name in ("prometheus", "grafana")
        for volume in services[name]["volumes"]
        if volume.startswith(".")
    }
    assert mounted == {path.name for path in FOLDER.iterdir()} - {TESTS.name}
    provider = yaml.safe_load((FOLDER / "grafana-dashboards.yml").read_text())["providers"][0]["options"]["path"]
    assert any(f":{provider}/" in volume for volume in services["grafana"]["volumes"])
    source = yaml.safe_load((FOLDER / "grafana-datasource.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        name: found["port"] for job in jobs for found in job.get("dns_sd_configs", []) for name in found["names"]
    }
    serving = {
        name: int(service["environment"]["CLIPQUEUE_METRICS_PORT"])
        for name, service in services.items()
        if "CLIPQUEUE_METRICS_PORT" in service.get("environment", {})
    }
    assert scraped == serving
    [queue] = [job["static_configs"][0]["targets"] for job in jobs if "static_configs" in job]
    assert queue == [f"sweep:{scraped['sweep']}"], "one target only: the queue is the same from everywhere"
