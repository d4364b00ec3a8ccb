"""The panels of the Grafana dashboard, row by row. `tests.monitoring.dashboard` makes its JSON of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: What it shows.
        queries: PromQL by the name in the legend, which may have labels as `{{code}}`.
        unit: Grafana's name of the unit.
        about: What an operator reads from it.
        kind: Grafana's name of the panel's type.
        width: Of the 24 columns of a row.
        maximum: The upper end of the axis, if it has one.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    about: str = ""
    kind: str = "timeseries"
    width: int = 8
    maximum: float | None = None


def _rate(metric: str, labels: str = "") -> str:
    return f"rate({metric}{{{labels}}}[$__rate_interval])" if labels else f"rate({metric}[$__rate_interval])"


def _quantile(share: float, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) ({_rate(metric + '_bucket')}))"


def _quantiles(metric: str) -> dict[str, str]:
    return {f"p{100 * share:g}": _quantile(share, metric) for share in (0.5, 0.95, 0.99)}


def _stages(share: float) -> dict[str, str]:
    stages = ("check", "fetch", "decode", "encode", "save")
    return {stage: _quantile(share, f"clipqueue_{stage}_duration_seconds") for stage in stages}


def _stat(title: str, query: str, unit: str = "short", about: str = "") -> Panel:
    return Panel(title, {title: query}, unit, about, kind="stat", width=4)


_ENDED = 'outcome=~"done|skipped|failed"'
_FAILED = 'outcome="failed"'
_ONE = 'instance=~"$instance"'
_DONE_BY_ONE = f'outcome="done",{_ONE}'
_OTHER_JOBS = 'job=~"clipqueue-(api|sweep|notify)"'
_ENDED_PER_S = f"sum({_rate('clipqueue_jobs_total', _ENDED)})"

ROWS: dict[str, list[Panel]] = {
    "Now": [
        _stat("Waiting", "clipqueue_queue_waiting"),
        _stat("Oldest waiting job", "clipqueue_queue_oldest_age_seconds", "s"),
        _stat("Jobs per second", _ENDED_PER_S, "ops"),
        _stat(
            "Work for",
            f"max(clipqueue_queue_waiting) / {_ENDED_PER_S}",
            "s",
            "How long the workers need for the waiting jobs at this rate, if no more come. A growing queue has it too.",
        ),
        _stat("Workers", "sum(clipqueue_workers)"),
        _stat(
            "Failed for good",
            f"sum({_rate('clipqueue_jobs_total', _FAILED)}) / {_ENDED_PER_S}",
            "percentunit",
        ),
        Panel(
            "Alerts",
            {"{{alertname}} {{instance}} {{code}}": 'ALERTS{alertstate="firing"}'},
            about="What fires. docs/monitoring.md says what to do about each.",
            kind="state-timeline",
            width=24,
        ),
    ],
    "Queue": [
        Panel(
            "Jobs on the queue",
            {
                "waiting": "clipqueue_queue_waiting",
                "in flight": "clipqueue_queue_in_flight",
                "delayed": "clipqueue_queue_delayed",
                "parked": "clipqueue_queue_parked",
            },
            about="Delayed jobs wait for a retry. Parked messages were no valid jobs.",
        ),
        Panel(
            "Age",
            {"oldest waiting job": "clipqueue_queue_oldest_age_seconds", "overdue": "clipqueue_queue_overdue_seconds"},
            "s",
            "The age grows in a backfill. It is a problem if the queue does not get shorter. Overdue jobs wait for a "
            "retry that no worker makes.",
        ),
        Panel(
            "Live workers",
            {"images: {{model}}": "clipqueue_workers", "queries: {{model}}": "clipqueue_query_workers"},
            about="By their heartbeats on Redis. All should have one model.",
        ),
    ],
    "Jobs": [
        Panel(
            "Ends of attempts",
            {"{{outcome}}": f"sum by (outcome) ({_rate('clipqueue_jobs_total')})"},
            "ops",
            "Each attempt of a job ends once. Requeued ones used no retry.",
        ),
        Panel(
            "Done by worker",
            {"{{instance}}": f"sum by (instance) ({_rate('clipqueue_jobs_total', _DONE_BY_ONE)})"},
            "ops",
            "A worker far below the others has a problem of its own.",
        ),
        Panel(
            "In flight by worker",
            {"{{instance}}": f"clipqueue_jobs_in_flight{{{_ONE}}}"},
            about="Many in flight and none done: it hangs.",
        ),
    ],
    "Latency": [
        Panel(
            "From enqueue to vector",
            _quantiles("clipqueue_job_duration_seconds"),
            "s",
            "What a user waits for. Retries are included.",
            width=12,
        ),
        Panel(
            "Time in queue",
            _quantiles("clipqueue_queue_wait_seconds"),
            "s",
            "From enqueue until a worker takes the job for the first time. If it is most of the latency, add workers.",
            width=12,
        ),
    ],
    "Stages": [
        Panel(
            "Median by stage", _stages(0.5), "s", "A slow fetch is a slow image host, a slow save is MongoDB.", width=12
        ),
        Panel("95th percentile by stage", _stages(0.95), "s", "As at the left, of the slow ones.", width=12),
    ],
    "Model": [
        Panel(
            "Model busy",
            {
                "{{instance}}": f"sum by (instance) ({_rate('clipqueue_model_busy_seconds_total', _ONE)})"
                f" / sum by (instance) (clipqueue_model_threads{{{_ONE}}})"
            },
            "percentunit",
            "The share of the time in which the model runs. Near 100 %: more cores or GPUs are faster. Low while jobs "
            "wait: downloads or decoding are the limit.",
            maximum=1,
        ),
        Panel(
            "Images in a batch",
            {
                "mean": f"sum({_rate('clipqueue_batch_size_sum')}) / sum({_rate('clipqueue_batch_size_count')})",
                "p95": _quantile(0.95, "clipqueue_batch_size"),
            },
            about="Full batches are faster on a GPU. They fill up while the model is busy.",
        ),
        Panel(
            "Of the jobs that a worker can hold",
            {"{{instance}}": f"clipqueue_jobs_in_flight{{{_ONE}}} / (clipqueue_concurrency{{{_ONE}}} > 0)"},
            "percentunit",
            "In flight, as a share of its concurrency.",
            maximum=1,
        ),
    ],
    "Failures": [
        Panel(
            "Failed for good, by code",
            {"{{code}} ({{stage}})": f"sum by (code, stage) ({_rate('clipqueue_job_failures_total')})"},
            "ops",
            "docs/contract.md has the codes. A code that is new to a worker is drawn from its second scrape on; "
            "`clipqueue failed` has all.",
        ),
        Panel(
            "Retried, by code",
            {"{{code}} ({{stage}})": f"sum by (code, stage) ({_rate('clipqueue_job_retries_total')})"},
            "ops",
            "Slow or refusing hosts: fetch_timeout, connection_failed, http_503 and so on.",
        ),
        Panel(
            "Requeued, by reason",
            {"{{reason}}": f"sum by (reason) ({_rate('clipqueue_job_requeues_total')})"},
            "ops",
            "host_busy is normal if many images are from one host.",
        ),
    ],
    "Downloads and decoding": [
        Panel("Downloaded", {"bytes": f"sum({_rate('clipqueue_fetched_bytes_total')})"}, "Bps"),
        Panel(
            "Decoding processes",
            {"{{instance}}": f"clipqueue_decode_processes{{{_ONE}}}"},
            about="They start when images come. 0 while images are downloaded: none can be decoded.",
        ),
        Panel(
            "Lost",
            {
                "decoding processes": "sum(increase(clipqueue_decode_processes_lost_total[$__rate_interval]))",
                "jobs of dead workers": "sum(increase(clipqueue_redeliveries_total[$__rate_interval]))",
            },
            about="A hostile file may end a decoding process. Jobs of dead workers were delivered again.",
        ),
    ],
    "MongoDB and Redis": [
        Panel(
            "MongoDB away",
            {"{{instance}}": f"clipqueue_store_away{{{_ONE}}}"},
            about="1: the worker waits for MongoDB and takes no jobs.",
            maximum=1,
        ),
        Panel("Redis answers", {"redis": "clipqueue_redis_up"}, maximum=1),
        Panel(
            "Memory of Redis",
            {"used": "clipqueue_redis_memory_bytes", "limit": "clipqueue_redis_max_memory_bytes"},
            "bytes",
            "When it is full, nobody can enqueue. No limit is shown if Redis has none, or does not tell it.",
        ),
    ],
    "Queries and API": [
        Panel(
            "Queries",
            {"{{kind}} {{outcome}}": f"sum by (kind, outcome) ({_rate('clipqueue_queries_total')})"},
            "ops",
            "Late ones were answered after their deadline, or not at all.",
            width=6,
        ),
        Panel(
            "95th percentile of queries",
            {"{{kind}}": _quantile(0.95, "clipqueue_query_duration_seconds", "le, kind")},
            "s",
            width=6,
        ),
        Panel(
            "Requests to the API",
            {"{{route}} {{status}}": f"sum by (route, status) ({_rate('clipqueue_api_requests_total')})"},
            "reqps",
            width=6,
        ),
        Panel(
            "95th percentile of requests",
            {"{{route}}": _quantile(0.95, "clipqueue_api_request_duration_seconds", "le, route")},
            "s",
            width=6,
        ),
    ],
    "Sweep and webhooks": [
        Panel("Sweeps", {"{{outcome}}": "sum by (outcome) (increase(clipqueue_sweeps_total[$__rate_interval]))"}),
        Panel(
            "Lost jobs that were enqueued again",
            {"jobs": "sum(increase(clipqueue_sweep_requeued_total[$__rate_interval]))"},
        ),
        Panel(
            "Webhooks",
            {"{{outcome}}": f"sum by (outcome) ({_rate('clipqueue_webhooks_total')})"},
            "ops",
            "Only with `clipqueue notify`.",
        ),
    ],
    "Processes": [
        Panel(
            "Processors used by workers",
            {"{{part}} {{instance}}": f"sum by (part, instance) ({_rate('clipqueue_cpu_seconds_total', _ONE)})"},
            about="1 is one core. `decode` are the decoding processes.",
            width=6,
        ),
        Panel(
            "Processors used by others",
            {"{{job}} {{instance}}": f"sum by (job, instance) ({_rate('process_cpu_seconds_total', _OTHER_JOBS)})"},
            width=6,
        ),
        Panel(
            "Memory",
            {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"clipqueue.*"}'},
            "bytes",
            "Without the decoding processes.",
            width=6,
        ),
        Panel(
            "Time since the start",
            {"{{job}} {{instance}}": 'time() - process_start_time_seconds{job=~"clipqueue.*"}'},
            "s",
            "A saw shows a process that starts again and again.",
            width=6,
        ),
    ],
}
