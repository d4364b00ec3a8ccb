"""Whether a comma, semicolon or bar belongs to a URL or ends it. URLs contain them unquoted."""

from __future__ import annotations

import re

_LAST_PART = re.compile(r"(.*)[,;|]([^,;|]*)", re.DOTALL)
_NOT_IN_A_URL = re.compile(r"[\s\"]")
_ONLY_IN_A_URL = re.compile(r"[/?#=&%]")
_PICTURE_NAME = re.compile(r".+\.(jpe?g|png|gif|webp|avif|heic|bmp|tiff?|svg)", re.IGNORECASE)
_ANOTHER_URL = re.compile(r"[,;|]\s*https?://", re.IGNORECASE)
UNCLEAR = "it is not clear where the URL ends, because it may contain commas and semicolons"


def is_unclear(text: str, *, has_context: bool) -> bool:
    """Return whether a text that begins with a URL may go on with another column.

    `https://host/w_200,h_100/a.jpg` is a URL, since no id has a slash. `https://host/a.jpg,photo-1` may be two columns.

    Args:
        text: The URL, or the URL and what follows it.
        has_context: What comes before the URL shows that it is the last column. Then a comma in its query, as in
            `?size=200,100`, is part of it.
    """
    if _NOT_IN_A_URL.search(text) or _ANOTHER_URL.search(text):
        return True
    if not (parts := _LAST_PART.fullmatch(text)):
        return False
    url, last = parts.groups()
    if _ONLY_IN_A_URL.search(last):
        return False
    if "?" in url or "#" in url:
        return not has_context
    name = url.rpartition("/")[2]
    return "." in name or not _PICTURE_NAME.fullmatch(last)  # `/Berlin,_Germany.jpg` is the name of a file
