"""What the demo world is made of. Every ``*_min`` is minutes before the anchor, negative after it.

The records hold no instant: only World knows the anchor. Where a record names another one by id,
``catalogue`` looks it up.
"""

from dataclasses import dataclass
from typing import Literal

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the world.

    Attributes:
        version: What runs in the seeded environment at the anchor.
        before: What ran before the first deployment that the catalogue knows; "" where there is
            none, and ``version`` has run all along.
        instances: How many instances run when nothing scales; their names are ``instance_names``.
        external: Outside parties that it calls.
    """

    id: str
    name: str
    tier: Literal["frontend", "edge", "backend", "data", "infra"]
    owner: str
    depends_on: tuple[str, ...]
    version: str
    before: str
    language: str
    instances: int
    description: str
    external: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The name without its prefix: ``checkout`` of ``svc-checkout``."""
        return self.id.removeprefix("svc-")

    @property
    def instance_names(self) -> tuple[str, ...]:
        """Names of the instances, ``checkout-0`` and on."""
        return tuple(f"{self.short}-{number}" for number in range(self.instances))


@dataclass(frozen=True, slots=True)
class Team:
    """A team; its people are in MEMBERS, its services are those that name it as owner."""

    id: str
    name: str
    kind: Literal["department", "team"]
    parent: str
    channel: str
    description: str


@dataclass(frozen=True, slots=True)
class Member:
    """A person. Actors, assignees and reporters are named by handle."""

    handle: str
    name: str
    team: str
    role: Literal["owner", "oncall", "member"]
    title: str
    timezone: str

    @property
    def id(self) -> str:
        """The member's id, which is the email address too."""
        return f"{self.handle}@demo.example"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment. Its status follows the clock until it has ended as ``outcome`` says.

    Attributes:
        environment: "" is the seeded environment, whatever it is called; else ``staging``.
        started_min: When it started; of a queued one, when it was queued.
        runs_min: When it begins to run; differs from ``started_min`` only where it queues.
        minutes: How long it runs.
    """

    id: str
    service: str
    environment: str
    version: str
    outcome: Literal["success", "failed", "cancelled"]
    started_min: float
    minutes: float
    actor: str
    note: str
    commit: str
    branch: str = "main"
    strategy: str = "rolling"
    runs_min: float | None = None
    rollback_of: str = ""
    scenario_id: str = ""
    incident_ids: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()

    @property
    def begins_min(self) -> float:
        """When it begins to run."""
        return self.started_min if self.runs_min is None else self.runs_min

    @property
    def finished_min(self) -> float:
        """When it ends."""
        return self.begins_min - self.minutes


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of the six threads.

    Attributes:
        begins_min: Begin of the anomaly.
        ends_min: Its end, or None where it lasts until the incident is resolved or closed, at the
            latest a day after the anchor. A fixed end comes earlier, too, when the incident ends.
        deployment_id: The cause, "" where no deployment is to blame.
        cause: The cause in words.
        signature: What the error lines of the service say meanwhile.
    """

    id: str
    name: str
    service: str
    deployment_id: str
    cause: str
    begins_min: float
    ends_min: float | None
    incident_id: str
    alert_ids: tuple[str, ...]
    ticket_id: str
    run_ids: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and the condition on one series that fires it.

    Attributes:
        labels: The labels of the series besides ``service`` and ``env``; they name exactly one.
        measure: ``value`` compares the series itself; ``rate`` the increase of a counter per
            second over the five minutes before.
        comparison: The bad side of the threshold.
        fires_min: When it fired, which is its createdAt.
        begins_min: Begin of its anomaly; of a scenario's alert, that of the scenario.
        silenced: Someone has silenced it.
    """

    id: str
    title: str
    description: str
    service: str
    severity: Literal["critical", "error", "warning", "info"]
    metric: str
    labels: Labels
    measure: Literal["value", "rate"]
    comparison: Literal[">", "<"]
    threshold: float
    fires_min: float
    begins_min: float
    incident_id: str | None = None
    scenario_id: str | None = None
    silenced: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What one cause does to the series of one metric.

    Attributes:
        cause: Id of a scenario, or of an alert with a small anomaly of its own.
        labels: Labels of the touched series besides ``service`` and ``env``; those left out are
            touched at every value.
        base: The ordinary level, of a counter the rate per second. Series elsewhere must have it
            as their base, too.
        peak: The level at full strength.
        mode: ``level`` goes from base to peak, which thresholds between them rely on at any hour
            and on weekends; ``factor`` multiplies the rate by ``peak / base``.
        rise_min: Minutes from the begin of the anomaly until full strength.
    """

    cause: str
    service: str
    metric: str
    labels: Labels
    base: float
    peak: float
    mode: Literal["level", "factor"] = "level"
    rise_min: float = 8.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a seeded timeline."""

    at_min: float
    kind: str
    actor: str
    body: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A seeded incident as it stands at the anchor.

    Attributes:
        resolved_min: When it became resolved, or None while it is neither resolved nor closed.
    """

    id: str
    title: str
    description: str
    service: str
    severity: Literal["sev1", "sev2", "sev3", "sev4"]
    status: str
    opened_min: float
    timeline: tuple[Entry, ...]
    resolved_min: float | None = None
    deployment_id: str = ""
    scenario_id: str = ""
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A seeded ticket as it stands at the anchor."""

    id: str
    title: str
    description: str
    service: str
    status: str
    assignees: tuple[str, ...]
    reporter: str
    created_min: float
    updated_min: float
    priority: Literal["urgent", "high", "normal", "low"]
    incident_id: str = ""
    scenario_id: str = ""
