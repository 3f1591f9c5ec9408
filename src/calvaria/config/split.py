"""Split of people into cohorts."""

from typing import Self

from pydantic import Field, model_validator

from calvaria.plugins.section import Section


class Split(Section):
    """Split of people, not files, into training, validation and test."""

    validation: float = Field(0.15, gt=0, lt=1)
    """Fraction of the people in the validation cohort."""
    test: float = Field(0.2, gt=0, lt=1)
    """Fraction of the people in the test cohort."""

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        if self.validation + self.test >= 0.9:
            raise ValueError(
                "split.validation + split.test must be below 0.9, since the rest is for training"
            )
        return self
