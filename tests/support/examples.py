"""How many examples a property test tries, and which.

A sample in `make test`, all of them in `make test-heavy`. Both try the same examples each time, so that a
failure comes from the commit that it is reported for. `make search` tries new ones each time.
"""

import os

IS_THOROUGH = "THOROUGH_TESTS" in os.environ
IS_SEARCH = "NEW_EXAMPLES" in os.environ
_SAMPLE_SHARE = 5
_FEWEST = 15


def examples(whole: int) -> int:
    """Return ``whole`` in a thorough run, else a fifth of it."""
    return whole if IS_THOROUGH else min(whole, max(_FEWEST, whole // _SAMPLE_SHARE))
