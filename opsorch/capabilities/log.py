"""Logs: entries of log stores."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import one
from opsorch.capabilities.spec import READ, Capability, Operation

LogFilter = f.shape("LogFilter", field=f.Text(), operator=f.Text(), value=f.Text())

LogExpression = f.shape(
    "LogExpression",
    search=f.Text(help="Words to look for."),
    filters=f.Many(LogFilter, help="All of them must hold."),
    severityIn=f.Texts(help="Any of trace, debug, info, warning, error, critical."),
)

LogQuery = f.shape(
    "LogQuery",
    expression=f.One(LogExpression),
    start=f.Time(help="Earliest time, included."),
    end=f.Time(help="Latest time."),
    scope=f.scope(),
    limit=f.limit(),
    metadata=f.Bag(),
    # The MCP client sends it; nothing reads it.
    providers=f.Texts(metadata={"dropped": True}),
)

LogEntry = f.shape(
    "LogEntry",
    timestamp=f.Time(always=True),
    message=f.Text(always=True),
    severity=f.Text(),
    service=f.Text(),
    labels=f.TextMap(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

LogEntries = f.shape("LogEntries", entries=f.Many(LogEntry, always=True), url=f.Text())

CAPABILITY = Capability(
    name="log",
    plural="logs",
    summary="Log entries.",
    operations=(
        Operation(
            "log.query",
            "POST",
            "/logs/query",
            body=LogQuery,
            empty_body=True,
            result=one(LogEntries),
            kind=READ,
            audit="log.query",
            summary="Find log entries.",
        ),
    ),
)
