"""Write the generated files anew: .env.example and, in docs/, the pages that are all tables.

``make generate`` runs it; a test fails while any of them is stale.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from marshmallow import fields, validate
from vocabularies import Words, vocabularies

from opsorch.capabilities import CAPABILITIES
from opsorch.capabilities import fields as f
from opsorch.capabilities.spec import Capability, Operation
from opsorch.config import CAPABILITY_SETTINGS, PLUGIN_SETTINGS, SETTINGS, Setting
from opsorch.observability.events import EVENTS
from opsorch.observability.metrics import METRICS

ROOT = pathlib.Path(__file__).resolve().parent.parent
MADE = "<!-- Made by `make generate`; change the table in the code instead. -->"

# What `make run` on a fresh machine wants to differ from the defaults.
CHOSEN = {"OPSORCH_DATA_DIR": ".data", "OPSORCH_LOG_FORMAT": "console"}


def files() -> dict[str, str]:
    """Return the text of every generated file by its path."""
    return {
        ".env.example": env_example(),
        "docs/settings.md": settings_page(),
        "docs/events.md": events_page(),
        "docs/capabilities.md": capabilities_page(),
        "docs/severities.md": severities_page(),
    }


def default_of(row: Setting) -> str:
    match row.default:
        case None:
            return row.shown
        case tuple():
            return row.shown or ",".join(row.default)
        case float():
            return row.shown or f"{row.default:g}"
    return row.shown or str(row.default)


def env_example() -> str:
    lines = [
        "# Settings of the gateway. `make run` copies this file to .env when there is none.",
        "# A real environment variable wins over a line here. A commented line shows the default.",
        "# docs/settings.md has the same table to read.",
    ]
    group = ""
    for row in SETTINGS:
        if row.group != group:
            group = row.group
            lines += ["", f"# --- {group} ---"]
        lines += ["", *comment(row.help)]
        chosen = CHOSEN.get(row.name)
        # A default that is words rather than a value cannot stand behind the name.
        value = default_of(row) if " " not in default_of(row) else ""
        lines.append(f"{row.name}={chosen}" if chosen else f"#{row.name}={value}")
    lines += [
        "",
        "# --- Plugin processes ---",
        "",
        "# For all capabilities; OPSORCH_<CAP>_TIMEOUT and so on are for one.",
    ]
    for row in PLUGIN_SETTINGS:
        lines += ["", *comment(row.help), f"#OPSORCH_PLUGIN_{row.name}={default_of(row)}"]
    lines += ["", "# --- Capabilities ---", ""]
    for row in CAPABILITY_SETTINGS:
        lines += comment(f"{row.name}: {row.help}")
    for name in CAPABILITIES:
        lines += ["", f"OPSORCH_{name.upper()}_PLUGIN=bundled:demo"]
        lines.append(f"#OPSORCH_{name.upper()}_CONFIG='{{}}'")
    return "\n".join(lines) + "\n"


def comment(text: str) -> list[str]:
    words, lines, line = text.split(), [], "#"
    for word in words:
        if len(line) + len(word) > 98:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]


def settings_page() -> str:
    parts = [
        "# Settings",
        MADE,
        "Every setting is an environment variable, or a line of `.env` in the working directory "
        "(`opsorch serve --env-file` names another file, which must be there); a real variable "
        "wins. A line of it that is not NAME=value is a fault. The values in "
        "`.env` are taken as they stand: `${...}` is not replaced. The gateway reads them at its "
        "start and at SIGHUP. A value that does not parse stops the start, and is refused at "
        "SIGHUP; all faults come in one message, by name. `opsorch serve --check` looks without "
        "starting.",
    ]
    group = ""
    rows: list[Setting] = []
    for row in (*SETTINGS, None):
        if row is None or row.group != group:
            if rows:
                parts += [f"## {group}", table(rows, "")]
            rows, group = [], row.group if row else ""
        if row is not None:
            rows.append(row)
    parts += [
        "## Plugin processes",
        "`OPSORCH_PLUGIN_X` holds for all capabilities, `OPSORCH_<CAP>_X` for one: "
        "`OPSORCH_LOG_TIMEOUT=60`. There are at most workers x capabilities x pool size "
        "processes: 2 x 10 x 4 with the defaults, each started when it is first needed.",
        table(PLUGIN_SETTINGS, "OPSORCH_PLUGIN_"),
        "## Capabilities",
        f"`<CAP>` is one of {', '.join(name.upper() for name in CAPABILITIES)}. A configuration "
        "that is no JSON object turns that capability off (`invalid_config`), and no other.",
        table(CAPABILITY_SETTINGS, ""),
    ]
    return "\n\n".join(parts) + "\n"


def table(rows: Iterator[Setting] | tuple[Setting, ...] | list[Setting], prefix: str) -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for row in rows:
        default = f"`{default_of(row)}`" if default_of(row) else "-"
        lines.append(f"| `{prefix}{row.name}` | {default} | {row.help} |")
    return "\n".join(lines)


def metrics_table() -> list[str]:
    lines = [
        "",
        "## Metrics",
        "",
        "`GET /metrics` has them in Prometheus' text format, all workers together.",
        "",
        "| metric | kind | what | labels |",
        "|---|---|---|---|",
    ]
    for row in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in row.labels) or "-"
        lines.append(f"| `{row.name}` | {row.kind.__name__.lower()} | {row.help} | {labels} |")
    return lines


def events_page() -> str:
    lines = [
        "# Log events and metrics",
        "",
        MADE,
        "",
        "Every line on stderr has `timestamp`, `level` and `event`; what is told while a request "
        "is served, its `request_id`. The audit log stands among "
        "them with `logger: opsorch.audit` (docs/operating.md). Lines of gunicorn have its text "
        "as their event.",
        "",
        "| event | level | when | fields |",
        "|---|---|---|---|",
    ]
    for name, event in EVENTS.items():
        facts = ", ".join(f"`{fact}`" for fact in event.facts)
        lines.append(f"| `{name}` | {event.level} | {event.help} | {facts} |")
    lines += metrics_table()
    return "\n".join(lines) + "\n"


def capabilities_page() -> str:
    parts = [
        "# Capabilities",
        MADE,
        "Each row is an operation: its route, the RPC method that a plugin answers, what is sent "
        "and what comes back. Reads may be tried a second time after a plugin died; writes are "
        "sent once. `*` marks what is always present in a result; what a request must hold is "
        "called required, and must not be blank.",
    ]
    for capability in CAPABILITIES.values():
        parts += [f"## {capability.name}", capability.summary, operations_table(capability)]
        parts += [shape_line(shape) for shape in shapes_of(capability)]
    return "\n\n".join(parts) + "\n"


def operations_table(capability: Capability) -> str:
    lines = [
        "| request | RPC method | body or query | result | status | kind |",
        "|---|---|---|---|---|---|",
    ]
    for row in capability.operations:
        lines.append(
            f"| {row.verb} {row.path} | `{row.method}` | {input_of(row)} | {result_of(row)} |"
            f" {row.status} | {row.kind.value} |"
        )
    return "\n".join(lines)


def input_of(row: Operation) -> str:
    if row.query is not None:
        return f"`?{'&'.join(f'{name}=' for name in f.declared(row.query))}`"
    return row.body.__name__ if row.body else "-"


def result_of(row: Operation) -> str:
    if row.result.shape is None:
        return '`{"status":"ok"}`'
    name = row.result.shape.__name__ + ("[]" if row.result.many else "")
    return f'{{"{row.result.wrapped}": {name}}}' if row.result.wrapped else name


def shapes_of(capability: Capability) -> list[f.Schema]:
    found: dict[str, f.Schema] = {}
    for row in capability.operations:
        for shape in (row.body, row.result.shape):
            if shape is not None:
                collect(shape, found)
    return list(found.values())


def collect(shape: f.Schema, found: dict[str, f.Schema]) -> None:
    if shape.__name__ in found:
        return
    found[shape.__name__] = shape
    for field in f.declared(shape).values():
        if isinstance(field, f.One | f.Many):
            collect(field.nested_shape, found)


def shape_line(shape: f.Schema) -> str:
    members = [
        f"`{name}`{'*' if field.always else ''} {kind_of(field)}"
        f"{' (required)' if field.required else ''}"
        for name, field in f.declared(shape).items()
        if not field.metadata.get("dropped")
    ]
    more = f" {shape.__doc__}" if shape.__doc__ else ""
    return f"**{shape.__name__}**: {', '.join(members)}.{more}"


def kind_of(field: fields.Field[Any]) -> str:
    for rule in field.validators:
        if isinstance(rule, validate.OneOf):
            return "/".join(rule.choices)
    match field:
        case f.One():
            return field.nested_shape.__name__
        case f.Many():
            return f"{field.nested_shape.__name__}[]"
    return KINDS[type(field)]


KINDS: dict[type, str] = {
    f.Text: "text",
    f.Texts: "text[]",
    f.Time: "time",
    f.Bag: "object",
    f.TextMap: "map of text",
    f.WholeNumber: "int",
    f.Number: "number",
}


def severities_page() -> str:
    parts = [
        "# Severities and statuses",
        MADE,
        "Every adapter shows its vendor's words in those of the first column, and takes more words "
        "than it shows. A word that an adapter does not know is refused with those that it knows, "
        "unless the text says otherwise; in the demo's queries it finds nothing. Letter case does "
        "not matter. `-`: the adapter has no such word.",
    ]
    for vocabulary in vocabularies():
        parts += [f"## {vocabulary.title}", vocabulary.text]
        parts += ["Shown for the vendor's words:", side_by_side(turned(vocabulary.shown))]
        parts += ["Taken from callers:", side_by_side(vocabulary.taken)]
    return "\n\n".join(parts) + "\n"


def side_by_side(words: Words) -> str:
    """Write a table of a row a word and a column an adapter, the words in order of appearance."""
    rows = dict.fromkeys(word for of_one in words.values() for word in of_one)
    lines = [f"| word | {' | '.join(words)} |", "|---" * (len(words) + 1) + "|"]
    for row in rows:
        cells = [of_one.get(row, "-") for of_one in words.values()]
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def turned(words: Words) -> Words:
    """Turn vendor's word -> ours into our word -> all of the vendor's."""
    found: dict[str, dict[str, str]] = {}
    for name, of_one in words.items():
        ours = dict.fromkeys(of_one.values())
        found[name] = {
            our: ", ".join(word for word, shown in of_one.items() if shown == our) for our in ours
        }
    return found


def main() -> None:
    for path, text in files().items():
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
