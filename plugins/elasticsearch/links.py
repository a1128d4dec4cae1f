"""Links into Kibana or OpenSearch Dashboards.

Sources: the states of Discover are Rison (github.com/w33ble/rison-node); Kibana's URLs as in
elastic.co/guide/en/kibana/8.17/discover.html, OpenSearch's data explorer as in
docs.opensearch.org/docs/latest/dashboards/discover.
"""

import urllib.parse
from dataclasses import dataclass

from opsorch_plugins.elasticsearch.window import Window

# Longer ones do not fit into browsers and proxies.
MAX_LINK = 16_000
# Without a lower bound a link still needs one.
EARLIEST = "1970-01-01T00:00:00Z"


def rison_text(text: str) -> str:
    """Quote a text as Rison has it."""
    return "'" + text.replace("!", "!!").replace("'", "!'") + "'"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the links of one configuration.

    Attributes:
        base: URL of Kibana, its space included.
        data_view: Id of the data view.
        timestamp_field: Field that sorts the page.
    """

    base: str
    data_view: str
    timestamp_field: str

    def query(self, window: Window, lucene: str, *, opensearch: bool) -> str:
        """Link to the page that shows the same entries; "" where it would be too long."""
        start, end = rison_text(window.start or EARLIEST), rison_text(window.end)
        ours = (
            f"(columns:!(),filters:!(),index:{rison_text(self.data_view)},interval:auto,"
            f"query:(language:lucene,query:{rison_text(lucene)}),"
            f"sort:!(!({rison_text(self.timestamp_field)},desc)))"
        )
        page = "app/data-explorer/discover#?" if opensearch else "app/discover#/?"
        theirs = f"(time:(from:{start},to:{end}))"
        link = f"{self.base}/{page}_g={_encoded(theirs)}&_a={_encoded(ours)}"
        return link if len(link) <= MAX_LINK else ""

    def document_prefix(self) -> str:
        """Return what the links of all documents begin with; index and id follow."""
        return f"{self.base}/app/discover#/doc/{_encoded(self.data_view)}/"


def document_path(index: str, document_id: str) -> str:
    """Return the part of a document's link behind the prefix."""
    return f"{_encoded(index)}?id={_encoded(document_id)}"


def _encoded(text: str) -> str:
    return urllib.parse.quote(text, safe="", errors="replace")
