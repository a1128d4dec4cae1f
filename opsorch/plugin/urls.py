"""Texts of others in URLs."""

import urllib.parse


def url_part(text: str) -> str:
    """Percent-encode one part of a URL, slashes too, so that it stays in its place.

    Half a surrogate pair, which UTF-8 cannot write, becomes ``?``.
    """
    return urllib.parse.quote(text, safe="", errors="replace")
