"""What we read of something larger that others wrote, and the types of its fields."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from config.ids import read_id
from workers.core.shapes import in_range


class View(BaseModel):
    """The fields that we use; what else there is, is ignored."""

    # Built at the first use: a process reads few of the shapes, and none before it is ready.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


# Ids become part of the ledger's keys, so each id is reduced to one spelling.
Id = Annotated[str, AfterValidator(read_id)]

Moment = Annotated[AwareDatetime, AfterValidator(in_range)]

# Amounts become part of a key, so their length is bounded.
Cents = Annotated[int, Field(ge=-(10**15), le=10**15)]
