"""The errors a user can cause: each says what was wrong, where, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    what : what was found, with the offending value ("box_size is -3; expected a positive whole number").
    where : file, and the row, column or key inside it ("inputs/config/a.json: dataset.locations.box_size").
    remedy : what the user does to put it right.
    """

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n    -> {self.remedy}"


class ProjectError(Exception):
    """Base of every error that a user can cause. Carries one problem or many, reported all at once.

    `transient` says that the same attempt may succeed later, without anything being mended.
    """

    transient = False

    def __init__(self, what: str | Sequence[Problem], *, where: str = "", remedy: str = "") -> None:
        if isinstance(what, str):
            self.problems: tuple[Problem, ...] = (Problem(what, where, remedy),)
        else:
            self.problems = tuple(what)
        super().__init__(describe(self.problems))

    def __reduce__(self) -> tuple[type["ProjectError"], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ConfigurationError(ProjectError):
    """A configuration file cannot be used as it is."""


class ImageIndexError(ProjectError):
    """The image index (inputs/metadata/index.csv) cannot be used as it is."""


class ImageFileError(ProjectError):
    """An image file is missing, unreadable, or not what the rest of the plate is."""


class LocationsError(ProjectError):
    """A cell-locations file cannot be used as it is."""


class StoreError(ProjectError):
    """Something stored under outputs/ is missing, unfinished or damaged."""


class AtWorkError(ProjectError):
    """Another run is at work on the same asset and plate.

    No `StoreError`: nothing is wrong, with what is stored or with the plate.
    """

    transient = True


class NoFileLocksError(StoreError):
    """A file system cannot lock files, so that nothing keeps two processes apart there."""


class ContentChangedError(StoreError):
    """A file is not what it was when it was inspected, or written."""


class StoreAccessError(ProjectError):
    """The place of outputs or images refuses: no such bucket, no credentials, no permission.

    No `StoreError`: nothing that is stored there is known to be wrong.
    """


class StoreUnreachableError(StoreAccessError):
    """The place of outputs or images does not answer now: the network, overload, an object just replaced."""

    transient = True


class ModelError(ProjectError):
    """A network, a checkpoint or a model folder cannot be used for what was asked."""


class TrainingDataError(ProjectError):
    """The cells at hand do not make a training set."""


class DeviceError(ProjectError):
    """The compute device asked for does not exist, or was asked for too late."""


class ClusterError(ProjectError):
    """A server, a setting or a library that several machines together need is not there."""


def describe(problems: Iterable[Problem]) -> str:
    """The message for a list of problems: one paragraph each, numbered when there are several."""
    texts = [str(problem) for problem in problems]
    if len(texts) == 1:
        return texts[0]
    return f"{len(texts)} problems:\n" + "\n".join(f"{i}. {text}" for i, text in enumerate(texts, 1))
