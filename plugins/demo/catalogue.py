"""The whole catalogue of the demo world in one place: its tables, and look-ups by id.

Frozen and the same in every process. Instants are made of it by World.
"""

from collections.abc import Mapping

from opsorch_plugins.demo.backlog import TICKETS
from opsorch_plugins.demo.cases import INCIDENTS
from opsorch_plugins.demo.effects import EFFECTS
from opsorch_plugins.demo.people import DEPARTMENT, MEMBERS, ROBOTS, SERVICES, TEAMS
from opsorch_plugins.demo.records import (
    Alert,
    Deployment,
    Effect,
    Entry,
    Incident,
    Labels,
    Member,
    Scenario,
    Service,
    Team,
    Ticket,
)
from opsorch_plugins.demo.signals import (
    ALERTS,
    CERTIFICATE_DAYS,
    CERTIFICATE_ENDS_MIN,
)
from opsorch_plugins.demo.story import (
    DAY,
    DEPLOYMENTS,
    HOUR,
    OPEN_ENDS_MIN,
    RECOVERY_MIN,
    RESOLVES_AFTER_MIN,
    SCENARIOS,
)

__all__ = [
    "ALERTS",
    "ALERT_BY_ID",
    "CERTIFICATE_DAYS",
    "CERTIFICATE_ENDS_MIN",
    "DAY",
    "DEPARTMENT",
    "DEPLOYMENTS",
    "DEPLOYMENT_BY_ID",
    "EFFECTS",
    "HOUR",
    "INCIDENTS",
    "INCIDENT_BY_ID",
    "MEMBERS",
    "MEMBER_BY_HANDLE",
    "OPEN_ENDS_MIN",
    "RECOVERY_MIN",
    "RESOLVES_AFTER_MIN",
    "ROBOTS",
    "SCENARIOS",
    "SCENARIO_BY_ID",
    "SERVICES",
    "SERVICE_BY_ID",
    "TEAMS",
    "TEAM_BY_ID",
    "TICKETS",
    "TICKET_BY_ID",
    "Alert",
    "Deployment",
    "Effect",
    "Entry",
    "Incident",
    "Labels",
    "Member",
    "Scenario",
    "Service",
    "Team",
    "Ticket",
    "alerts_of",
    "releases_of",
    "services_of",
    "team_of",
    "tickets_of",
    "version_at",
]

SERVICE_BY_ID: Mapping[str, Service] = {service.id: service for service in SERVICES}
TEAM_BY_ID: Mapping[str, Team] = {team.id: team for team in TEAMS}
MEMBER_BY_HANDLE: Mapping[str, Member] = {member.handle: member for member in MEMBERS}
DEPLOYMENT_BY_ID: Mapping[str, Deployment] = {item.id: item for item in DEPLOYMENTS}
SCENARIO_BY_ID: Mapping[str, Scenario] = {scenario.id: scenario for scenario in SCENARIOS}
ALERT_BY_ID: Mapping[str, Alert] = {alert.id: alert for alert in ALERTS}
INCIDENT_BY_ID: Mapping[str, Incident] = {incident.id: incident for incident in INCIDENTS}
TICKET_BY_ID: Mapping[str, Ticket] = {ticket.id: ticket for ticket in TICKETS}


def team_of(service_id: str) -> str:
    """Return the team that owns a service, "" for one that the world does not have."""
    service = SERVICE_BY_ID.get(service_id)
    return service.owner if service else ""


def services_of(team_id: str) -> tuple[str, ...]:
    """Return the services that a team owns, in catalogue order."""
    return tuple(service.id for service in SERVICES if service.owner == team_id)


def alerts_of(incident_id: str) -> tuple[str, ...]:
    """Return the alerts that belong to an incident, in the order in which they fired."""
    own = [alert for alert in ALERTS if alert.incident_id == incident_id]
    return tuple(alert.id for alert in sorted(own, key=lambda alert: -alert.fires_min))


def tickets_of(incident_id: str) -> tuple[str, ...]:
    """Return the seeded tickets that belong to an incident."""
    return tuple(ticket.id for ticket in TICKETS if ticket.incident_id == incident_id)


def releases_of(service_id: str, environment: str = "") -> tuple[Deployment, ...]:
    """Return the deployments that succeed in an environment ("" is the seeded), oldest first."""
    own = (
        item
        for item in DEPLOYMENTS
        if item.service == service_id
        and item.environment == environment
        and item.outcome == "success"
    )
    return tuple(sorted(own, key=lambda item: -item.finished_min))


def version_at(service_id: str, minutes_before: float, environment: str = "") -> str:
    """Return the version that a service ran so many minutes before the anchor.

    A deployment counts from its end; a rolling one that has not ended shows the old version.
    """
    service = SERVICE_BY_ID[service_id]
    version = service.version if environment else (service.before or service.version)
    for release in releases_of(service_id, environment):
        if release.finished_min < minutes_before:
            break
        version = release.version
    return version
