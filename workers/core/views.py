"""The base of what we read of something larger that others wrote."""

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """The fields that we use; what else there is, is ignored."""

    # Built at the first use: a process reads few of the shapes, and none before it is ready.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
