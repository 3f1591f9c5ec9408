"""Split of people into cohorts."""

from typing import Self

from pydantic import Field, model_validator

from calvaria.plugins.section import Section


class Split(Section):
    """Split of people, not files, into training, validation and test."""

    validation: float = Field(0.15, gt=0, lt=1)
    """Fraction of the people in the validation cohort."""
    test: float = Field(0.2, gt=0, lt=1)
    """Fraction of the people in the test cohort; without effect if there are folds."""
    folds: int | None = Field(None, ge=2)
    """Number of folds of a cross-validation, each a run of its own; null for a single split."""
    fold: int = Field(0, ge=0)
    """The fold whose people are the test cohort of this run, from 0."""

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"split.fold: expected less than split.folds, {self.folds}, got {self.fold}")
        return self

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        if self.validation + self.test_share >= 0.9:
            raise ValueError(
                f"split: expected less than 0.9 of the people in validation and test, since the rest is for "
                f"training; got {self.validation:g} and {self.test_share:g}"
            )
        return self

    @property
    def test_share(self) -> float:
        """Return the fraction of the people in the test cohort."""
        return 1 / self.folds if self.folds else self.test
