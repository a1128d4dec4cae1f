"""Metrics: time series and what there is of them."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many
from opsorch.capabilities.spec import READ, Capability, Operation

MetricFilter = f.shape("MetricFilter", label=f.Text(), operator=f.Text(), value=f.Text())

MetricExpression = f.shape(
    "MetricExpression",
    metricName=f.Text(),
    aggregation=f.Text(help="Such as sum or avg."),
    filters=f.Many(MetricFilter, help="All of them must hold."),
    groupBy=f.Texts(help="Labels of which each combination is a series."),
)

MetricQuery = f.shape(
    "MetricQuery",
    expression=f.One(MetricExpression),
    start=f.Time(),
    end=f.Time(),
    step=f.WholeNumber(help="Seconds between two points."),
    scope=f.scope(),
    metadata=f.Bag(),
)

MetricPoint = f.shape("MetricPoint", timestamp=f.Time(always=True), value=f.Number(always=True))

MetricSeries = f.shape(
    "MetricSeries",
    name=f.Text(always=True),
    service=f.Text(),
    labels=f.Bag(),
    points=f.Many(MetricPoint, always=True),
    url=f.Text(),
    metadata=f.Bag(),
)

MetricDescriptor = f.shape(
    "MetricDescriptor",
    name=f.Text(always=True),
    type=f.Text(always=True),
    description=f.Text(always=True),
    labels=f.Texts(always=True),
    unit=f.Text(),
    url=f.Text(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="metric",
    plural="metrics",
    summary="Time series and their description.",
    operations=(
        Operation(
            "metric.query",
            "POST",
            "/metrics/query",
            body=MetricQuery,
            empty_body=True,
            result=many(MetricSeries),
            kind=READ,
            audit="metric.query",
            summary="Read time series.",
        ),
        Operation(
            "metric.describe",
            "POST",
            "/metrics/describe",
            body=f.Scope,
            empty_body=True,
            result=many(MetricDescriptor, wrapped="metrics"),
            kind=READ,
            audit="metric.describe",
            summary="List the metrics of a scope.",
        ),
        Operation(
            "metric.describe",
            "GET",
            "/metrics/describe",
            query=f.Scope,
            result=many(MetricDescriptor, wrapped="metrics"),
            kind=READ,
            audit="metric.describe",
            summary="List the metrics of a scope named in the query string.",
        ),
    ),
)
