"""How many examples a property test tries: a sample in `make test`, all of them in `make test-heavy`."""

import os

IS_THOROUGH = "THOROUGH_TESTS" in os.environ
_SAMPLE_SHARE = 5
_FEWEST = 15


def examples(whole: int) -> int:
    """Return ``whole`` in a thorough run, else a fifth of it."""
    return whole if IS_THOROUGH else min(whole, max(_FEWEST, whole // _SAMPLE_SHARE))
