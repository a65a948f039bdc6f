"""What all sections of a configuration are."""

from pydantic import BaseModel, ConfigDict

Box = tuple[float, float, float, float]
"""West, east, south and north [degrees]; east of west, so that a box may lie across 180 degrees."""

LONGEST_HORIZON = 31  # frames; model error is kept for as many leads


class Section(BaseModel):
    """Settings that no one adds to, and that stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)
