"""The version of this release: the only place that states it."""

VERSION = "0.1.0"
