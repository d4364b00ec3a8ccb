"""The worker's errors. The document of a failed job stores the `code` and the `stage` of its error.

Codes never change.

JobError
├── PermanentError              recorded as failed and acked; never retried
│   ├── BadJob                  invalid_job         the message is not a valid job
│   ├── BlockedAddress          blocked_address     the address is not public, or the port is not allowed
│   ├── UnknownHost             unknown_host        the host name does not exist
│   ├── BadUrl                  bad_url             no HTTP request can be made from the URL
│   ├── HttpRefused             http_<status>       4xx, or another status that a retry would not change
│   ├── BadRedirect             bad_redirect        too many redirects, or a target that may not be fetched
│   ├── TooManyBytes            too_many_bytes      the body is larger than CLIPQUEUE_FETCH_MAX_BYTES
│   ├── EmptyBody               empty_body          the response has no body
│   ├── HtmlPage                html_page           the response is a web page, such as a login page
│   ├── BadEncoding             bad_encoding        the body cannot be decompressed as its Content-Encoding says
│   ├── UnsupportedFormat       unsupported_format  the file is not an image, or its format is not supported
│   ├── TooManyPixels           too_many_pixels     more than CLIPQUEUE_MAX_PIXELS, or a side above CLIPQUEUE_MAX_SIDE
│   ├── TooManyFrames           too_many_frames     more frames than CLIPQUEUE_MAX_FRAMES
│   ├── TooManyScans            too_many_scans      a progressive JPEG with more scans than CLIPQUEUE_MAX_SCANS
│   ├── CorruptImage            corrupt_image       the file is damaged or truncated
│   ├── DecodeTooCostly         decode_too_costly   more than CLIPQUEUE_DECODE_CPU_S or CLIPQUEUE_DECODE_MEMORY_BYTES
│   ├── BadVector               bad_vector          the model returned a vector that is zero or not finite
│   ├── StoreRefused            store_refused       MongoDB rejected the document (a unique index, a validator)
│   ├── WorkerLost              worker_lost         two workers died while each ran only this job
│   └── InternalError           internal_error      unexpected error; the worker's log has the traceback
└── TransientError              retried with backoff; recorded as failed when no retries are left
    ├── FetchTimeout            fetch_timeout       the download did not finish in time
    ├── DnsFailure              dns_failure         the DNS lookup failed
    ├── ConnectionFailed        connection_failed   the connection was refused, reset or cut short, or TLS failed
    ├── HttpUnavailable         http_<status>       408, 425, 429 or 5xx
    ├── DecodeTimeout           decode_timeout      not decoded within CLIPQUEUE_DECODE_S, waiting included
    ├── DecoderCrashed          decoder_crashed     the decoding process died
    └── EncodeFailed            encode_failed       the model did not answer in time, or failed on this image

Requeue                         not caused by the job: it goes back to the queue and uses no retry
├── StoreUnavailable            MongoDB is unavailable
│   └── DocumentDelayed            MongoDB did not read or write one document, and may do it later
├── QueueUnavailable            Redis is unavailable
├── ResolverBusy                all resolver threads are busy
├── DecodersBusy                all decoding processes are busy
├── HostBusy                    CLIPQUEUE_FETCH_PER_HOST downloads from this host are running
├── IsolationBusy               the job must run alone, and other jobs are still running
└── WorkerStopping              the worker is draining and cannot finish the job in time

EncoderError                    handled by the batcher; never reaches a job
├── OutOfMemory                 the batch does not fit into the device's memory
└── EncoderBroken               the process can no longer use the device and must exit

StartupError                    the worker does not start; the message says what to set
├── ModelUnavailable            the model cannot be loaded
├── BrokerUnsupported           REDIS_URL names a Redis Cluster
├── DecoderUnavailable          no decoding process can be started
├── HealthFileUnavailable       the health file cannot be written
└── UnusableLibrary             an installed library does not work as the worker needs
"""

from __future__ import annotations

from typing import ClassVar


class JobError(Exception):
    code: str
    stage: ClassVar[str]


class PermanentError(JobError):
    pass


class BadJob(PermanentError):
    code, stage = "invalid_job", "receive"


class BlockedAddress(PermanentError):
    code, stage = "blocked_address", "fetch"


class UnknownHost(PermanentError):
    code, stage = "unknown_host", "fetch"


class BadUrl(PermanentError):
    code, stage = "bad_url", "fetch"


class HttpRefused(PermanentError):
    stage = "fetch"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code = f"http_{status}"


class BadRedirect(PermanentError):
    code, stage = "bad_redirect", "fetch"


class TooManyBytes(PermanentError):
    code, stage = "too_many_bytes", "fetch"


class EmptyBody(PermanentError):
    code, stage = "empty_body", "fetch"


class HtmlPage(PermanentError):
    code, stage = "html_page", "fetch"


class BadEncoding(PermanentError):
    code, stage = "bad_encoding", "fetch"


class UnsupportedFormat(PermanentError):
    code, stage = "unsupported_format", "decode"


class TooManyPixels(PermanentError):
    code, stage = "too_many_pixels", "decode"


class TooManyFrames(PermanentError):
    code, stage = "too_many_frames", "decode"


class TooManyScans(PermanentError):
    code, stage = "too_many_scans", "decode"


class CorruptImage(PermanentError):
    code, stage = "corrupt_image", "decode"


class DecodeTooCostly(PermanentError):
    code, stage = "decode_too_costly", "decode"


class BadVector(PermanentError):
    code, stage = "bad_vector", "encode"


class StoreRefused(PermanentError):
    code, stage = "store_refused", "save"


class WorkerLost(PermanentError):
    code, stage = "worker_lost", "receive"


class InternalError(PermanentError):
    code, stage = "internal_error", "internal"


class TransientError(JobError):
    retry_after_s: float | None = None  # from the server's Retry-After header
    # Of errors that are not the host's: trying such a file again costs much, and helps only if this machine was busy.
    max_retries: ClassVar[int | None] = None


class FetchTimeout(TransientError):
    code, stage = "fetch_timeout", "fetch"


class DnsFailure(TransientError):
    code, stage = "dns_failure", "fetch"


class ConnectionFailed(TransientError):
    code, stage = "connection_failed", "fetch"


class HttpUnavailable(TransientError):
    stage = "fetch"

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = f"http_{status}"
        self.retry_after_s = retry_after_s


class DecodeTimeout(TransientError):
    code, stage = "decode_timeout", "decode"
    max_retries = 5


class DecoderCrashed(TransientError):
    code, stage = "decoder_crashed", "decode"
    max_retries = 5


class EncodeFailed(TransientError):
    code, stage = "encode_failed", "encode"
    max_retries = 5


class Requeue(Exception):
    delay_s: ClassVar[float] = 0.0  # before the message is requeued, so that it does not circulate at full speed


class StoreUnavailable(Requeue):
    delay_s = 1.0


class DocumentDelayed(StoreUnavailable):
    def __init__(self, message: str, *, others_written: bool) -> None:
        super().__init__(message)
        self.others_written = others_written  # by the same request, so MongoDB is not unavailable


class QueueUnavailable(Requeue):
    delay_s = 1.0


class HostBusy(Requeue):
    pass  # the job has already waited for a slot


class ResolverBusy(Requeue):
    pass  # the lookup has already waited for a resolver thread


class DecodersBusy(Requeue):
    delay_s = 1.0  # the next attempt downloads the image again


class IsolationBusy(Requeue):
    delay_s = 1.0  # another worker may take the job meanwhile


class WorkerStopping(Requeue):
    pass


class EncoderError(Exception):
    pass


class OutOfMemory(EncoderError):
    pass


class EncoderBroken(EncoderError):
    pass


class StartupError(Exception):
    pass


class ModelUnavailable(StartupError):
    pass


class BrokerUnsupported(StartupError):
    pass


class DecoderUnavailable(StartupError):
    pass


class HealthFileUnavailable(StartupError):
    pass


class UnusableLibrary(StartupError):
    pass
