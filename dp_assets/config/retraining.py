"""``train.retrain``: when an experiment is trained again without anybody asking for it."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from dp_assets.config.fields import Section

NEVER = "never"
NEW_PLATES = "new_plates"
_COUNT = re.compile(r"([1-9][0-9]*) plates?")


def _in_words(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value} plates"
    return value.strip().lower() if isinstance(value, str) else value


def _checked(value: str) -> str:
    if value not in (NEVER, NEW_PLATES) and not _COUNT.fullmatch(value):
        raise ValueError('expected "never", "new_plates", or a number of plates such as "12 plates"')
    return value


class RetrainingSettings(Section):
    """The keys of ``train`` itself. They decide when a model is made, and nothing of what it is."""

    retrain: Annotated[str, BeforeValidator(_in_words), AfterValidator(_checked)] = Field(
        default=NEVER,
        description='"never", "new_plates", or a number of plates such as "12 plates"',
        examples=["12 plates"],
    )

    @property
    def least_new_plates(self) -> int | None:
        """So many plates that the model does not know start a training; None when nothing does."""
        if self.retrain == NEVER:
            return None
        return 1 if self.retrain == NEW_PLATES else int(self.retrain.split()[0])
