"""Which indices are searched: the configured pattern, and what may narrow it.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/api-conventions.html, multi-target syntax
and date math; names as in indices-create-index.html.
"""

import re
from dataclasses import dataclass

from opsorch.errors import BadRequest
from opsorch.plugin.urls import url_part

_DATE_MATH = re.compile(
    r"-?<[^<>{}\s\"\\|?#,*/]*"
    r"(?:\{[^<>{}\s\"\\|?#,*]+(?:\{[^<>{}\"\\?#*]+\})?\}[^<>{}\s\"\\|?#,*/]*)+>"
)
_NAME = re.compile(r"-?[^\s\"\\/|?#,<>\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class IndexPattern:
    """The parts of a multi-target expression, in their order."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "IndexPattern":
        """Read an expression: names separated by commas.

        Raises:
            ValueError: A name is empty or impossible; the text completes ``<field> ...``.
        """
        names = tuple(name.strip() for name in _split(text))
        if not all(names):
            raise ValueError("must not be empty")
        if not all(map(_is_index_name, names)):
            raise ValueError("holds a character no index name may have")
        return cls(names)

    def __str__(self) -> str:
        return ",".join(self.names)

    @property
    def path(self) -> str:
        """The expression as one segment of a path."""
        return url_part(str(self))

    def narrowed(self, override: str) -> "IndexPattern":
        """Return the expression for ``metadata.index``, which never reaches beyond this one.

        Raises:
            BadRequest: It does not fit, or would.
        """
        try:
            asked = IndexPattern.of(override)
        except ValueError as exc:
            raise BadRequest(f"metadata.index {exc}") from exc
        excluded = [name[1:] for name in self.names if name.startswith("-")]
        included = [name for name in self.names if not name.startswith("-")]
        for name in asked.names:
            inside = any(_covers(pattern, name) for pattern in included)
            barred = any(_covers(pattern, name) for pattern in excluded)
            if name.startswith("-") or not inside or barred:
                raise BadRequest("metadata.index must name indices that match indexPattern")
        if any("*" in name for name in asked.names):
            # A wildcard of the caller may cover what the configuration leaves out.
            return IndexPattern((*asked.names, *(f"-{name}" for name in excluded)))
        return asked


def _split(text: str) -> list[str]:
    """Split at commas that stand outside ``<...>``."""
    return re.split(r",(?![^<]*>)", text)


def _is_index_name(name: str) -> bool:
    if "<" in name:
        return _DATE_MATH.fullmatch(name) is not None and _lower(re.sub(r"\{.*\}", "", name))
    bare = name.removeprefix("-").rpartition(":")[2]
    return _NAME.fullmatch(name) is not None and _lower(name) and bare not in ("", ".", "..")


def _lower(name: str) -> bool:
    # The name of a remote cluster may have upper case.
    return (local := name.rpartition(":")[2]) == local.lower()


def _covers(pattern: str, name: str) -> bool:
    """Tell whether everything that ``name`` (perhaps a wildcard) finds, the pattern finds too.

    A ``*`` reaches no other cluster, and no index that a leading dot hides.
    """
    if pattern == name:
        return True
    if name.startswith((".", "<", "_")) and not pattern.startswith(name[0]):
        return False
    regex = "[^:]*".join(map(re.escape, pattern.split("*")))
    return "<" not in name and re.fullmatch(regex, name, re.DOTALL) is not None
