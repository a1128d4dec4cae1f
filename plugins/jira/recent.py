"""Issues that this process wrote a moment ago: a search may not know of the change yet."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

KEPT_S: Final = 300.0
# So many ids does a search take.
# Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
MOST: Final = 50
# Jira's ids are 64-bit integers; a search with a larger one is refused.
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class RecentIssues:
    """The numeric ids of the newest written issues. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written: OrderedDict[int, float] = OrderedDict()

    def add(self, issue_id: str) -> None:
        """Remember an issue."""
        if not _NUMBER.fullmatch(issue_id):
            return
        with self._lock:
            self._written[int(issue_id)] = self._clock()
            self._written.move_to_end(int(issue_id))
            while len(self._written) > MOST:
                self._written.popitem(last=False)

    def ids(self) -> list[int]:
        """Return the ids of the last five minutes, oldest first."""
        oldest = self._clock() - KEPT_S
        with self._lock:
            return [issue for issue, moment in self._written.items() if moment > oldest]
