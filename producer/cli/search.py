"""`clipqueue search`: searches the images on a terminal."""

from __future__ import annotations

import json
import re
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.collection import collection_option, id_type_option, require_mongodb_uri
from producer.cli.output import CANNOT_TELL, fail, fail_without_extra
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.client.queries import QueryClient
from producer.contract.errors import ClipqueueError, InvalidJob
from producer.contract.ids import image_id_of_text, image_name
from producer.contract.text import printable
from producer.contract.urls import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.contract.ids import ImageId
    from producer.search.embed import Embed
    from producer.search.query import Hit, SearchPage, SearchQuery
    from producer.search.search import ImageSearch

_LONG_SOCKET_TIMEOUT_S = 300.0
# A terminal must not be sent control characters in a link.
_LINKABLE = re.compile(r"https?://[!-~]+")
_URL = re.compile(r"https?://", re.IGNORECASE)


@click.command()
@click.argument("text", required=False)
@click.option("--like", multiple=True, metavar="ID", help="Resemble this stored image; may be repeated.")
@id_type_option
@click.option("--image", metavar="FILE|URL", help="Resemble this picture.")
@click.option("--not", "not_text", multiple=True, metavar="TEXT", help="Do not resemble this text; may be repeated.")
@click.option("--not-like", multiple=True, metavar="ID", help="Do not resemble this stored image; may be repeated.")
@click.option(
    "--filter", "wanted", metavar="JSON", help='Only images that match, such as \'{"album": "summer"}\'; see docs.'
)
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of images.")
@click.option("--min-score", type=float, help="Only images with at least this cosine.")
@click.option("--within", type=float, help="Only images whose cosine is at most this much below the best one.")
@click.option("--dedupe", type=float, metavar="COSINE", help="Show near-duplicates, from this cosine, only once.")
@click.option("--exact", is_flag=True, help="Compare all vectors, even with an index.")
@click.option("--model", help="Search the vectors of this model; by default, of the live workers' model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@collection_option
def search(collection: str, *, as_json: bool, **given: Any) -> None:
    """Find the images that look like TEXT, or like other images.

    A live worker embeds texts and pictures. The score is the cosine of both vectors. The exit code is 0 if there are
    images, 1 if there is none (or no stored image with that id), and 3 if the search failed.
    """
    try:
        from producer.search.errors import InvalidSearch, UnknownImage  # noqa: PLC0415
        from producer.search.query import SearchQuery  # noqa: PLC0415
        from producer.search.search import ImageSearch  # noqa: F401, PLC0415  (needs numpy and pymongo)
    except ImportError:
        fail_without_extra("clipqueue search", "search", CANNOT_TELL)
    wanted = _read_filter(given.pop("wanted"))
    id_type = given.pop("id_type")
    given |= {name: _read_ids(given[name], id_type) for name in ("like", "not_like")}
    query = SearchQuery(filter=wanted, **{**given, "image": _read_image(given["image"])})
    try:
        with _open_embed(query) as embed, open_search("clipqueue search", collection, embed) as images:
            page = images.search(query)
    except InvalidSearch as exc:
        raise click.UsageError(str(exc)) from None
    except UnknownImage as exc:
        fail(str(exc))
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)
    if not page.hits:
        fail(_explain_nothing(query, page))
    if as_json:
        for hit in page.hits:
            click.echo(_as_json(hit))
    else:
        _print_table(page)


@contextmanager
def open_search(command: str, collection: str, embed: Embed | None = None) -> Iterator[ImageSearch]:
    """Yield a search of the collection, and close it afterwards.

    MongoDB has five minutes for each answer, because it may have to read the whole collection.
    """
    from producer.documents.connection import connect_collection  # noqa: PLC0415  (needs pymongo)
    from producer.search.search import ImageSearch  # noqa: PLC0415
    from producer.search.settings import search_settings_from_env  # noqa: PLC0415

    settings = search_settings_from_env()
    uri = require_mongodb_uri(command)
    documents = connect_collection(uri, collection, socket_timeout_s=_LONG_SOCKET_TIMEOUT_S)
    with closing(ImageSearch(documents, embed, settings)) as images:
        yield images


def shown_link(url: str | None) -> str:
    """Return a URL without its query; on a terminal, as a link to the whole URL."""
    if url is None:
        return ""
    shown = printable(redact_url(url), 200)
    if not sys.stdout.isatty() or not _LINKABLE.fullmatch(url):
        return shown
    return f"\x1b]8;;{url}\x1b\\{shown}\x1b]8;;\x1b\\"


@contextmanager
def _open_embed(query: SearchQuery) -> Iterator[Embed | None]:
    """Yield what embeds the texts and the picture of a search; None if it has neither, and needs no Redis."""
    from producer.search.embed import QueryEmbed  # noqa: PLC0415  (needs numpy and pymongo)

    if query.text is None and query.image is None and not query.not_text:
        yield None
        return
    with closing(Broker(redis_url_from_env())) as broker, closing(QueryClient(broker)) as client:
        yield QueryEmbed(client)


def _read_image(given: str | None) -> str | bytes | None:
    if given is None or _URL.match(given):
        return given
    try:
        return Path(given).read_bytes()
    except OSError as exc:
        raise click.UsageError(f"--image: {given} cannot be read: {exc.strerror}") from None


def _read_ids(texts: tuple[str, ...], id_type: str | None) -> tuple[ImageId, ...]:
    """Return ids of a type; of any type, the texts: a search tries each that a text may be of."""
    try:
        return texts if id_type is None else tuple(image_id_of_text(text, id_type) for text in texts)
    except InvalidJob as exc:
        raise click.UsageError(str(exc)) from None


def _read_filter(given: str | None) -> Any:
    try:
        return None if given is None else json.loads(given)
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"--filter is not valid JSON: {exc}") from None


def _explain_nothing(query: SearchQuery, page: SearchPage) -> str:
    if query.filter or query.min_score is not None or query.within is not None:
        return "no image matches"
    other = "other " if query.like or query.not_like else ""
    return f"no {other}image has a vector of {page.model} yet; `clipqueue status` shows the state of an image"


def _print_table(page: SearchPage) -> None:
    ids = [printable(str(hit.image_id)) for hit in page.hits]
    width = max(map(len, ids))
    for hit, image_id in zip(page.hits, ids, strict=True):
        more = f"  (+{len(hit.duplicates)} near-duplicates)" if hit.duplicates else ""
        click.echo(f"{hit.score:6.3f}  {image_id:{width}}  {shown_link(hit.url)}{more}".rstrip())


def _as_json(hit: Hit) -> str:
    url = None if hit.url is None else redact_url(hit.url)
    duplicates = [str(image_id) for image_id in hit.duplicates]
    return json.dumps({**image_name(hit.image_id), "score": hit.score, "url": url, "duplicates": duplicates})
