"""The snapshot that every pure function of the demo world is given."""

import datetime
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

STAGING: Final = "staging"


@dataclass(frozen=True, slots=True)
class World:
    """All that logs, metrics, alerts and deployments depend on beside the catalogue and the query.

    Attributes:
        anchor: The instant "now" of the story, in UTC.
        seed: Text mixed into every hash.
        environment: Name of the seeded environment; never ``staging``.
        source: What ``metadata.source`` says.
        now: The present instant, in UTC. Nothing is known of later ones.
        ended: Incident id -> when it became resolved or closed; open ones are absent.
    """

    anchor: datetime.datetime
    seed: str
    environment: str
    source: str
    now: datetime.datetime
    ended: Mapping[str, datetime.datetime] = field(default_factory=dict)

    def at(self, minutes_before: float) -> datetime.datetime:
        """Return the instant that lies so many minutes before the anchor (negative: after it)."""
        return self.anchor - datetime.timedelta(minutes=minutes_before)

    def minutes_before(self, moment: datetime.datetime) -> float:
        """Return how many minutes before the anchor an instant lies; the reverse of ``at``."""
        return (self.anchor - moment).total_seconds() / 60

    @property
    def environments(self) -> tuple[str, str]:
        """The environments in which services run."""
        return (self.environment, STAGING)


def unit(seed: str, *parts: object) -> float:
    """Return a number in [0, 1) that depends on the seed and the parts alone.

    Equal in every process, host and Python version: a keyed BLAKE2b of the parts' text.
    """
    text = "\x1f".join(map(str, parts))
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), key=hash_key(seed), digest_size=8
    ).digest()
    # 53 bits: what a float holds exactly, so that the result never rounds up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


@functools.lru_cache(maxsize=16)
def hash_key(seed: str) -> bytes:
    """Return the key of the hashes of a seed."""
    return hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=32).digest()
