"""The worker's errors, each leaf with the stable `code` and the `stage` that a failed document shows.

JobError
├── PermanentError              recorded as failed and acked; never retried
│   ├── BadJob                  invalid_job         the message cannot be a job
│   ├── BlockedAddress          blocked_address     not public, or a port that is not allowed
│   ├── UnknownHost             unknown_host        the name does not exist
│   ├── BadUrl                  bad_url             a host name that no request can be made of
│   ├── HttpRefused             http_<status>       4xx, and other answers that a retry would not change
│   ├── BadRedirect             bad_redirect        too many, or to something that is not fetched
│   ├── TooManyBytes            too_many_bytes      more than CLIPQUEUE_FETCH_MAX_BYTES
│   ├── EmptyBody               empty_body          an answer without content
│   ├── HtmlPage                html_page           Content-Type: text/html, such as a page that asks to sign in
│   ├── BadEncoding             bad_encoding        a body that is not what its Content-Encoding says
│   ├── UnsupportedFormat       unsupported_format  no image, or in no format that is decoded
│   ├── TooManyPixels           too_many_pixels     more than CLIPQUEUE_MAX_PIXELS, or a side than CLIPQUEUE_MAX_SIDE
│   ├── TooManyFrames           too_many_frames     more than CLIPQUEUE_MAX_FRAMES
│   ├── TooManyScans            too_many_scans      a progressive JPEG of more than CLIPQUEUE_MAX_SCANS
│   ├── CorruptImage            corrupt_image       damaged or cut short
│   ├── DecodeTooCostly         decode_too_costly   CLIPQUEUE_DECODE_CPU_S or CLIPQUEUE_DECODE_MEMORY_BYTES
│   ├── BadVector               bad_vector          the model gave a vector that is not finite
│   ├── StoreRefused            store_refused       MongoDB refuses the document (a unique index, a validator)
│   ├── WorkerLost              worker_lost         two workers that had the job were lost
│   └── InternalError           internal_error      a defect of ours; the log has the traceback
└── TransientError              retried with backoff; recorded as failed when retries are spent
    ├── FetchTimeout            fetch_timeout
    ├── DnsFailure              dns_failure
    ├── ConnectionFailed        connection_failed   refused, reset, cut short, TLS
    ├── HttpUnavailable         http_<status>       408, 425, 429, 5xx
    ├── DecodeTimeout           decode_timeout      not decoded within CLIPQUEUE_DECODE_S, waiting included
    ├── DecoderCrashed          decoder_crashed     the process that decoded it was lost
    └── EncodeFailed            encode_failed       the model did not answer, or failed on this image

Requeue                        nobody's job's fault: the job goes back to the queue and spends no retry
├── StoreUnavailable            MongoDB is away
├── QueueUnavailable            Redis is away
├── ResolverBusy                enough names are being looked up
├── DecodersBusy                enough images are being decoded
├── HostBusy                    enough downloads from that host run already
├── IsolationBusy                another job that lost its worker runs first
└── WorkerStopping                 the worker was told to stop, and the job is not nearly done

EncoderError                    what the batcher does something about; no job sees it
├── OutOfMemory                 the batch is too large for the device
└── EncoderBroken               the device is lost to this process, which ends itself

StartupError                     the worker does not start
├── ModelUnavailable            the model cannot be loaded
└── DecoderUnavailable          no decoding process can be started
"""

from __future__ import annotations

from typing import ClassVar


class JobError(Exception):
    """Base of what can go wrong with one job. Never raised itself."""

    code: str
    stage: ClassVar[str]


class PermanentError(JobError):
    """Trying again would not help."""


class BadJob(PermanentError):
    """The message cannot be a job."""

    code, stage = "invalid_job", "receive"


class BlockedAddress(PermanentError):
    """The address is not public, or the port is not allowed."""

    code, stage = "blocked_address", "fetch"


class UnknownHost(PermanentError):
    """The host name does not exist."""

    code, stage = "unknown_host", "fetch"


class BadUrl(PermanentError):
    """No request can be made of the URL."""

    code, stage = "bad_url", "fetch"


class HttpRefused(PermanentError):
    """The server answered with a status that a retry would not change."""

    stage = "fetch"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code = f"http_{status}"


class BadRedirect(PermanentError):
    """Too many redirects, or one to something that is not fetched."""

    code, stage = "bad_redirect", "fetch"


class TooManyBytes(PermanentError):
    """The body is larger than allowed."""

    code, stage = "too_many_bytes", "fetch"


class EmptyBody(PermanentError):
    """The answer has no content."""

    code, stage = "empty_body", "fetch"


class HtmlPage(PermanentError):
    """The answer is a web page."""

    code, stage = "html_page", "fetch"


class BadEncoding(PermanentError):
    """The body is not what its Content-Encoding says."""

    code, stage = "bad_encoding", "fetch"


class UnsupportedFormat(PermanentError):
    """The content is in no format that is decoded."""

    code, stage = "unsupported_format", "decode"


class TooManyPixels(PermanentError):
    """The image is larger than allowed."""

    code, stage = "too_many_pixels", "decode"


class TooManyFrames(PermanentError):
    """The file says that it has more frames than allowed."""

    code, stage = "too_many_frames", "decode"


class TooManyScans(PermanentError):
    """The JPEG has more scans than allowed: each costs as much as decoding the whole picture."""

    code, stage = "too_many_scans", "decode"


class CorruptImage(PermanentError):
    """The image is damaged or cut short."""

    code, stage = "corrupt_image", "decode"


class DecodeTooCostly(PermanentError):
    """Decoding would take more processor time or memory than one image may."""

    code, stage = "decode_too_costly", "decode"


class BadVector(PermanentError):
    """The model gave a vector that is not finite or has no length."""

    code, stage = "bad_vector", "encode"


class StoreRefused(PermanentError):
    """MongoDB refuses this document, as another unique index or a validator of the collection demands."""

    code, stage = "store_refused", "save"


class WorkerLost(PermanentError):
    """Every worker that had the job was lost."""

    code, stage = "worker_lost", "receive"


class InternalError(PermanentError):
    """A defect of this program met this job."""

    code, stage = "internal_error", "internal"


class TransientError(JobError):
    """Trying again may help. `retry_after_s` is what the server asked for, if it did."""

    retry_after_s: float | None = None


class FetchTimeout(TransientError):
    """The download did not end in time."""

    code, stage = "fetch_timeout", "fetch"


class DnsFailure(TransientError):
    """The name could not be looked up just now."""

    code, stage = "dns_failure", "fetch"


class ConnectionFailed(TransientError):
    """The connection was refused, reset or cut short, or TLS failed."""

    code, stage = "connection_failed", "fetch"


class HttpUnavailable(TransientError):
    """The server asks to come back later (408, 425, 429, 5xx)."""

    stage = "fetch"

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = f"http_{status}"
        self.retry_after_s = retry_after_s


class DecodeTimeout(TransientError):
    """The image was not decoded in time."""

    code, stage = "decode_timeout", "decode"


class DecoderCrashed(TransientError):
    """The process that decoded the image was lost."""

    code, stage = "decoder_crashed", "decode"


class EncodeFailed(TransientError):
    """The model did not answer in time, or failed on this image."""

    code, stage = "encode_failed", "encode"


class Requeue(Exception):
    """Nobody's job's fault: the job goes back to the queue. Never raised itself.

    Attributes:
        pause_s: Seconds to wait before it goes, so that it does not circle at full speed.
    """

    pause_s: ClassVar[float] = 0.0


class StoreUnavailable(Requeue):
    """MongoDB did not take the write."""

    pause_s = 1.0


class QueueUnavailable(Requeue):
    """Redis did not answer."""

    pause_s = 1.0


class HostBusy(Requeue):
    """As many downloads from that host as may run already do; a moment was waited already."""


class ResolverBusy(Requeue):
    """As many names as may be looked up at once are; a moment was waited already."""


class DecodersBusy(Requeue):
    """As many images as may be decoded at once are; the next try downloads the image anew."""

    pause_s = 1.0


class IsolationBusy(Requeue):
    """The job lost a worker, and another such job runs in this process; a moment was waited already."""


class WorkerStopping(Requeue):
    """The worker was told to stop, and would not end this job in time."""


class EncoderError(Exception):
    """What the batcher does something about. Never raised itself."""


class OutOfMemory(EncoderError):
    """The batch is too large for the device."""


class EncoderBroken(EncoderError):
    """The device is lost to this process; only a new one can use it again."""


class StartupError(Exception):
    """The worker cannot start; the message says what to set. Never raised itself."""


class ModelUnavailable(StartupError):
    """The model cannot be loaded; the message is a paragraph that says what to set."""


class DecoderUnavailable(StartupError):
    """No decoding process can be started."""
