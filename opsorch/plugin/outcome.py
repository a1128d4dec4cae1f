"""What an error says of a write of which nobody knows whether it was carried out."""

from typing import Final, TypeVar

from opsorch.errors import OpsOrchError

MAYBE: Final = "The request may have taken effect."
ADVICE: Final = "look before you repeat it"

E = TypeVar("E", bound=OpsOrchError)


def telling(error: E) -> E:
    """Return the error, whose message now says so where the outcome is unknown."""
    if error.outcome_unknown and MAYBE not in error.message:
        error.message = joined(error.message, MAYBE)
    return error


def joined(message: str, sentence: str) -> str:
    """Put a sentence behind a message, which may lack its full stop."""
    stop = "" if message.endswith((".", "!", "?", "…")) else "."
    return f"{message}{stop} {sentence}"
