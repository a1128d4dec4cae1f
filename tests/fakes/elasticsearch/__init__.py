"""A small Elasticsearch, or OpenSearch, that evaluates the query DSL over documents in memory.

Mappings are explicit or dynamic (text with ``.keyword``, numbers, booleans, dates), so that term,
phrase and wildcard queries behave by type; what a type cannot take fails its shards. Queries,
fields of the request and parameters that are not known are refused, so that a mistake never looks
like an empty answer. A point in time gets a new id with every page, and only the newest is taken.

Sources: elastic.co/guide/en/elasticsearch/reference/8.17: query-dsl.html, search-search.html,
paginate-search-results.html, point-in-time-api.html, regexp-syntax.html, field-data-types
(mapping-types.html), search-field-caps.html, common-options.html; the operators of
query-dsl-simple-query-string-query.html are read as Lucene's SimpleQueryParser documents them;
docs.opensearch.org/docs/latest/search-plugins/searching-data/point-in-time-api.
"""

from tests.fakes.elasticsearch.api import make_app
from tests.fakes.elasticsearch.documents import Document, Index, State
from tests.fakes.elasticsearch.seed import seeded
from tests.fakes.elasticsearch.texts import lucene_test

__all__ = ["Document", "Index", "State", "lucene_test", "make_app", "seeded"]
