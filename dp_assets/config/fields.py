"""Field types of the settings: what a number, a label or a list of names may look like in a file.

Configuration files are written by people and by other programs: whole numbers come as ``16.0``, labels
as ``0``. These types accept what is meant and refuse what is not (``true`` is no number).
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def as_label(value: object) -> object:
    """A value of the image index as the text it is there: ``0`` and ``0.0`` become "0", ``true`` "True".

    The image index is read as text throughout, so settings that name its values are text too.
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (bool, int, float)):
        return str(value)
    return value


def _not_a_truth_value(value: object) -> object:
    # bool is a subclass of int in Python, so `"box_size": true` would silently mean 1
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, (str, int, float)) else value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({str(v) for v in values if values.count(v) > 1})
    if repeated:
        raise ValueError(f"each name may occur once; repeated: {', '.join(repeated)}")
    return values


def _ascending(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(values))


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


WholeNumber = Annotated[int, BeforeValidator(_not_a_truth_value)]
Number = Annotated[float, BeforeValidator(_not_a_truth_value), Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Label = Annotated[str, BeforeValidator(as_label)]
# Around a tuple: one entry may be written without brackets, and no entry twice.
OneOrMore = BeforeValidator(_as_list)
Distinct = AfterValidator(_distinct)
Ascending = AfterValidator(_ascending)
Names = Annotated[tuple[Name, ...], OneOrMore, Distinct]
Labels = Annotated[tuple[Label, ...], OneOrMore, Distinct]
# Put in front of a Literal: words are understood in any case.
AnyCase = BeforeValidator(_lower)


class Section(BaseModel):
    """Base of all sections: frozen; keys it does not know are left to the unknown-key warnings."""

    model_config = ConfigDict(frozen=True, extra="ignore")
