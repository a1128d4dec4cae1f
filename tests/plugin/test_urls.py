"""Texts of others in URLs."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.plugin.urls import url_part


@pytest.mark.parametrize(
    ("text", "part"),
    [("a-b_c.d~1", "a-b_c.d~1"), ("a/b ?#", "a%2Fb%20%3F%23"), ("ä", "%C3%A4"), ("\ud800", "%3F")],
)
def test_nothing_leaves_its_part(text: str, part: str) -> None:
    """Slashes neither; half of a surrogate pair costs itself."""
    assert url_part(text) == part


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_every_text_comes_back(text: str) -> None:
    """No character of it is lost."""
    assert urllib.parse.unquote(url_part(text), errors="strict") == text
