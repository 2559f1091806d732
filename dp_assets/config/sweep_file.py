"""A sweep: one experiment in many variants, on a grid or by search. Lies in ``inputs/config/sweeps``."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.fields import AnyCase, Name, Number, Section, WholeNumber
from dp_assets.config.overrides import Overrides
from dp_assets.config.reading import ENDINGS, read_document
from dp_assets.config.validation import check_settings

SWEEPS_FOLDER = Path("inputs") / "config" / "sweeps"
MOST_VARIANTS = 10_000
# Sections that say what is done with features.
_AFTER_TRAINING = ("profiles", "evaluation", "features")


class Range(Section):
    """Values between two ends, both included."""

    low: Number = Field(description="the lowest value", examples=[0.0001])
    high: Number = Field(description="the highest value", examples=[0.1])
    log: bool = Field(default=False, description="true for steps by factors", examples=[True])
    whole: bool = Field(default=False, description="true for whole numbers", examples=[False])

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("low must not be above high, and above 0 when log is true")
        return self


# Tags in angle brackets are left out of messages.
Space = Annotated[
    Annotated[Range, Tag("<range>")] | Annotated[tuple[Any, ...], Tag("<list>")],
    Discriminator(lambda value: "<range>" if isinstance(value, (dict, Range)) else "<list>"),
]


class Search(Section):
    """``search``: variants chosen one after the other by what the earlier ones gave."""

    trials: WholeNumber = Field(ge=1, description="how many variants are tried", examples=[20])
    space: dict[str, Space] = Field(
        min_length=1,
        description="for each key of the experiment a list of values, or low and high",
        examples=[{"train.model.params.learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}],
    )
    seed: WholeNumber = Field(default=0, ge=0, description="the seed of the search", examples=[0])


class SweepSettings(Section):
    """A sweep file."""

    experiment: Name = Field(description="the experiment that is varied", examples=["efficientnet"])
    grid: dict[str, tuple[Any, ...]] | None = Field(
        default=None,
        description="for each key of the experiment a list of values; all combinations are tried",
        examples=[{"train.model.params.learning_rate": [0.01, 0.001]}],
    )
    search: Search | None = Field(
        default=None, description="the number of trials and the space to search", examples=[{"trials": 20}]
    )
    metric: Name = Field(
        default="val_loss", description="the score of the model to go by", examples=["val_accuracy"]
    )
    direction: Annotated[Literal["minimize", "maximize"], AnyCase] | None = Field(
        default=None,
        description='"minimize" or "maximize"; losses and errors are minimized',
        examples=["maximize"],
    )
    profile: bool = Field(
        default=False, description="true to compute the features of every variant too", examples=[True]
    )

    @model_validator(mode="after")
    def _grid_or_search(self) -> Self:
        if (self.grid is None) == (self.search is None):
            raise ValueError("a sweep has either grid or search")
        if self.grid is not None and not all(self.grid.values()):
            raise ValueError("every key of grid needs at least one value")
        return self

    @property
    def maximizes(self) -> bool:
        """Whether larger scores are better: unless it is said, those that are no loss and no error."""
        if self.direction is not None:
            return self.direction == "maximize"
        return not any(part in self.metric for part in ("loss", "error", "mse", "mae", "crossentropy"))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the experiment that are varied."""
        return tuple(self.grid or (self.search.space if self.search else {}))


def load_sweep(root: Path, name: str) -> tuple[str, SweepSettings]:
    """Read a sweep of a project.

    Parameters
    ----------
    root : the project folder.
    name : name of a file in ``inputs/config/sweeps``, with or without its ending.

    Returns
    -------
    The sweep's name (the file's without its ending) and its settings.

    Raises
    ------
    ConfigurationError : there is no such file, or it is wrong.
    """
    folder = root / SWEEPS_FOLDER
    path = _find(folder, name)
    document = read_document(path)
    reading = check_settings(SweepSettings, document.data, "", str(path))
    unknown = [
        Problem(f'unknown key "{key}"', str(path), f"Known: {', '.join(SweepSettings.model_fields)}.")
        for key in document.data
        if key not in SweepSettings.model_fields
    ]
    if reading.settings is None or unknown:
        raise ConfigurationError([*unknown, *reading.problems])
    Overrides(tuple(f"{key}=0" for key in reading.settings.keys)).check(str(path))
    _require_training_keys(reading.settings.keys, path)
    return path.stem, reading.settings


def _require_training_keys(keys: tuple[str, ...], path: Path) -> None:
    """Refuse keys that no training reads: every variant would have the same score."""
    after = [key for key in keys if key.partition(".")[0].strip() in _AFTER_TRAINING]
    if after:
        raise ConfigurationError(
            f"{', '.join(after)} changes what is done with features, not the training that a sweep scores",
            where=str(path),
            remedy="Write an experiment for each value that extends the first, and look at the comparison; "
            "for lambda there is the correction_sweep of every experiment (profiles.regularization_sweep).",
        )


def _find(folder: Path, name: str) -> Path:
    there = sorted(p for p in folder.glob("*") if p.suffix.lower() in ENDINGS) if folder.is_dir() else []
    found = [path for path in there if name in (path.name, path.stem)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(path.name for path in there) or "none"
    what = f"there are several sweeps {name!r}" if found else f"there is no sweep {name!r}"
    raise ConfigurationError(f"{what}; there are: {listed}", where=str(folder), remedy="Name one file.")
