"""The numbered cases of the orchestration specification that plans and runs can prove."""

import re
from pathlib import Path

# 6 to 8 need the executor, 16 needs the git source.
CASES = {1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 17, 18}


def test_every_case_of_plans_and_runs_has_a_test():
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    found = re.findall(r'mark\.case\("orchestration", (\d+)\)', "\n".join(texts))
    assert set(map(int, found)) == CASES
