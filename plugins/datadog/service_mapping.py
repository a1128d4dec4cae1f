"""Datadog's service definitions and catalog entities to services.

Sources: https://docs.datadoghq.com/api/latest/service-definition/ (schemas v1, v2, v2.1, v2.2) and
https://docs.datadoghq.com/api/latest/software-catalog/.
"""

from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.vendor import as_text, as_texts, object_in, text_at
from opsorch_plugins.datadog.links import service_link
from opsorch_plugins.datadog.tags import values_by_key

_TAGS: Final = ("tier", "lifecycle", "type", "application")
_METADATA: Final = ("description", "links", "contacts", "languages", "integrations")


def service_of(raw: Json, source: str, app: str) -> Json:
    """Turn a definition, of any version of its schema, into a service.

    Its id is the service's name, as it stands in tags elsewhere: the definition's id names the
    definition.
    """
    attributes = object_in(raw, "attributes")
    schema = object_in(attributes, "schema")
    name = as_text(schema.get("dd-service")) or text_at(schema, "info", "dd-service")
    team = as_text(schema.get("team")) or text_at(schema, "org", "team")
    metadata = {
        "source": source,
        "definition_id": as_text(raw.get("id")),
        "description": text_at(schema, "info", "description"),
        **{name: schema.get(name) for name in _METADATA if schema.get(name)},
        "meta": object_in(attributes, "meta"),
    }
    application = as_text(schema.get("application")) or text_at(schema, "org", "application")
    optional = {
        **{tag: as_text(schema.get(tag)) for tag in _TAGS},
        "team": team,
        "application": application,
    }
    return _service(name, _tags(schema.get("tags"), optional), metadata, app)


def entity_of(raw: Json, source: str, app: str) -> Json:
    """Turn an entity of the software catalog into a service."""
    attributes = object_in(raw, "attributes")
    metadata = {
        "source": source,
        "definition_id": as_text(raw.get("id")),
        **{name: as_text(attributes.get(name)) for name in ("displayName", "description")},
        "meta": object_in(raw, "meta"),
    }
    tags = _tags(attributes.get("tags"), {"team": as_text(attributes.get("owner"))})
    return _service(as_text(attributes.get("name")), tags, metadata, app)


def _service(name: str, tags: Json, metadata: Json, app: str) -> Json:
    return {
        "id": name,
        "name": name,
        "url": service_link(app, name),
        **without_empty({"tags": tags, "metadata": without_empty(metadata)}),
    }


def _tags(listed: Any, optional: Json) -> Json:
    """Collect tags, repeated keys joined by commas; its own fields win."""
    by_key = values_by_key(as_texts(listed))
    joined = {key: ",".join(values) for key, values in by_key.items()}
    return {**joined, **without_empty(optional)}
