"""The base of every section of the config, and sections that several kinds of plugin contain."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]


class Section(BaseModel):
    """A frozen section of the config that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Normal(Section):
    """A normal distribution, cut off at three standard deviations."""

    mean: float
    """Mean."""
    sd: float = Field(ge=0)
    """Standard deviation."""


class Optimiser(Section):
    """Training of a network: Adam with a linear warm-up and a cosine decay to zero."""

    steps: int = Field(ge=1)
    """Gradient steps."""
    batch_size: int = Field(4, ge=1)
    """Volumes per step; affects the result."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches per step, to save memory."""
    ema_decay: float = Field(0.99, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; the average is the result."""
    validate_every: int = Field(100, ge=1)
    """Steps between two validations; the best weights are kept."""
    patience: int | None = Field(None, ge=1)
    """Validations without improvement after which training ends early; null for never."""

    @model_validator(mode="after")
    def _parts_are_even(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"optimiser.accumulate must divide batch_size, got {self.accumulate} and {self.batch_size}"
            )
        return self
