"""What all sections of the config share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Normal(Section):
    """A normal distribution, cut off at three standard deviations."""

    mean: float
    """Mean."""
    sd: float = Field(ge=0)
    """Standard deviation."""
