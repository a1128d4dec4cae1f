"""Every error that a caller may meet, and the HTTP status of each code.

OpsOrchError
├── RequestError                 the caller can mend it
│   ├── BadRequest               bad_request
│   ├── Unauthorized             unauthorized
│   ├── Forbidden                forbidden
│   ├── NotFound                 not_found
│   ├── MethodNotAllowed         method_not_allowed
│   ├── Conflict                 conflict
│   ├── PayloadTooLarge          payload_too_large
│   └── UnsupportedMediaType     unsupported_media_type
├── RateLimited                  rate_limited
├── InternalError                internal_error
├── NotReady                     not_ready
├── ProviderMissing              <capability>_provider_missing
├── SecretProviderMissing        secret_provider_missing
├── ProviderError                provider_error
│   ├── AuthFailed               auth_failed
│   ├── InvalidConfig            invalid_config
│   ├── UpstreamUnreachable      upstream_unreachable
│   ├── UpstreamTimeout          upstream_timeout
│   └── ReportedError            provider_error, or the code that a plugin chose
├── PluginFailure                the plugin process failed, not its upstream
│   ├── PluginCrashed            plugin_crashed
│   ├── PluginNotFound           plugin_not_found
│   ├── PluginStartFailed        plugin_start_failed
│   ├── PluginBusy               plugin_busy
│   ├── ReplyBroken              provider_error
│   └── RpcTimeout               rpc_timeout
└── SecretStoreError             secret_store_error

Codes, statuses and wording are the contract of the HTTP API (docs/errors.md).
"""

from typing import ClassVar

STATUS_OF_CODE: dict[str, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal_error": 500,
    "provider_missing": 501,
    "secret_provider_missing": 501,
    "provider_error": 502,
    "auth_failed": 502,
    "invalid_config": 502,
    "upstream_unreachable": 502,
    "plugin_crashed": 502,
    "secret_store_error": 502,
    "not_ready": 503,
    "plugin_not_found": 503,
    "plugin_start_failed": 503,
    "plugin_busy": 503,
    "upstream_timeout": 504,
    "rpc_timeout": 504,
}

# What a plugin may say of the caller's request. Everything else it says is its
# own failure: a 401 or 403 of the upstream would blame the caller's token.
CODES_OF_PLUGINS = frozenset(
    {"bad_request", "not_found", "conflict", "rate_limited", "upstream_timeout"}
)


class OpsOrchError(Exception):
    """The root of the tree: a stable code, a message for people, and what to do next.

    Attributes:
        code: Stable snake_case word that callers compare.
        status: HTTP status of the answer.
        message: One or two sentences without secrets.
        retry_after_s: Seconds after which repeating makes sense, or None.
        outcome_unknown: A write may or may not have taken effect upstream.
    """

    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown

    def __str__(self) -> str:
        """Say the message as it stands: it may have been redacted since it was raised."""
        return str(self.message)

    @property
    def status(self) -> int:
        """The HTTP status that the contract gives this code."""
        return STATUS_OF_CODE[self.code]


class RequestError(OpsOrchError):
    """The request cannot be served as it stands."""

    code: str = "bad_request"


class BadRequest(RequestError):
    """The body, a field or a parameter is wrong; the message names it."""


class Unauthorized(RequestError):
    """No token, or a wrong one."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The token lacks the scope."""

    code = "forbidden"


class NotFound(RequestError):
    """No such route, or the provider knows no such thing."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, but not for this verb."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(RequestError):
    """The thing is not in the state that the request needs."""

    code = "conflict"


class PayloadTooLarge(RequestError):
    """The body is over the limit that the message names."""

    code = "payload_too_large"


class UnsupportedMediaType(RequestError):
    """The body has a Content-Encoding."""

    code = "unsupported_media_type"


class RateLimited(OpsOrchError):
    """The upstream, or the gateway, asks the caller to slow down."""

    code = "rate_limited"


class InternalError(OpsOrchError):
    """A defect of ours; the body carries the request id and no more."""


class NotReady(OpsOrchError):
    """A configured capability cannot take a call."""

    code = "not_ready"


class ProviderMissing(OpsOrchError):
    """Nothing is configured for the capability."""

    def __init__(self, message: str, *, capability: str) -> None:
        super().__init__(message)
        self.capability = capability
        self.code = f"{capability}_provider_missing"

    @property
    def status(self) -> int:
        """The one status of all ``<capability>_provider_missing`` codes."""
        return STATUS_OF_CODE["provider_missing"]


class SecretProviderMissing(OpsOrchError):
    """Provider configuration over HTTP needs a secret provider."""

    code = "secret_provider_missing"


class ProviderError(OpsOrchError):
    """The provider answered with an error, or its answer cannot be used."""

    code = "provider_error"


class AuthFailed(ProviderError):
    """The upstream refuses the configured credentials."""

    code = "auth_failed"


class InvalidConfig(ProviderError):
    """The capability's configuration is wrong; the message names fields, never values."""

    code = "invalid_config"


class UpstreamUnreachable(ProviderError):
    """The plugin could not connect, or lost the connection."""

    code = "upstream_unreachable"


class UpstreamTimeout(ProviderError):
    """The upstream did not answer in time, or said that it ran out of time."""

    code = "upstream_timeout"


class ReportedError(ProviderError):
    """An error that a plugin reported, with the code it chose."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "provider_error",
        retry_after_s: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, outcome_unknown=outcome_unknown)
        self.code = code

    @property
    def status(self) -> int:
        """The status of the five codes that concern the caller; 502 for all others."""
        return STATUS_OF_CODE[self.code] if self.code in CODES_OF_PLUGINS else 502


class PluginFailure(OpsOrchError):
    """The plugin process failed.

    Attributes:
        sent: The plugin had taken at least one byte of the request.
    """

    code = "plugin_crashed"
    sent_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        sent: bool | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.sent = self.sent_by_default if sent is None else sent


class PluginCrashed(PluginFailure):
    """The plugin ended, or closed its stdout, with the call unanswered."""

    code = "plugin_crashed"


class PluginNotFound(PluginFailure):
    """There is no file at the plugin's path, or no such bundled adapter."""

    code = "plugin_not_found"


class PluginStartFailed(PluginFailure):
    """The plugin cannot be executed, or ended before it took its first request.

    Attributes:
        reason: Why, without whose plugin it is; completes "cannot be started: ...".
    """

    code = "plugin_start_failed"
    reason: str = ""


class PluginBusy(PluginFailure):
    """Every process of the pool is taken and none came free in time."""

    code = "plugin_busy"


class ReplyBroken(PluginFailure):
    """The plugin's reply is no frame, too large, or answers another request."""

    code = "provider_error"
    sent_by_default = True


class RpcTimeout(PluginFailure):
    """The plugin did not answer before the deadline; it was killed."""

    code = "rpc_timeout"


class SecretStoreError(OpsOrchError):
    """The secret store failed."""

    code = "secret_store_error"
