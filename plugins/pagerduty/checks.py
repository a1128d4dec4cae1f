"""What plugin.check looks at, a line each."""

from opsorch.errors import AuthFailed, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.client import PagerDuty


def list_is_readable(pagerduty: PagerDuty, key: str, call: Call) -> str:
    """Read at most one object of a list; returns the message of success."""
    list(pagerduty.items(f"/{key}", key, call, most=1))
    return f"{pagerduty.upstream.address} answers"


def service_exists(pagerduty: PagerDuty, service: str, call: Call) -> str:
    """Read the service of incidents that name none; returns the message of success."""
    pagerduty.get("service", f"/services/{service}", service, call)
    return "the service exists"


def user_exists(pagerduty: PagerDuty, email: str, call: Call) -> str:
    """Look for the user that writes; returns the message of success.

    A token that may not read users may still write in their name: that is told, and is no fault.
    PagerDuty documents ``query`` for names; its own Terraform provider finds users by email so.
    Source: https://github.com/PagerDuty/terraform-provider-pagerduty data_source_pagerduty_user.go

    Raises:
        OpsOrchError: There is no such user, or PagerDuty does not answer.
    """
    try:
        users = pagerduty.items("/users", "users", call, params=[("query", email)])
        if any(str(user.get("email")).casefold() == email.casefold() for user in users):
            return "the user exists"
    except AuthFailed:
        return "not looked at: the token may not read users (users.read)"
    raise ProviderError("no user of the account has this login email; changes will be refused")
