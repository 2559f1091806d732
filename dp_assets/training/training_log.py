"""Services that follow a training (Comet, MLflow), none of which may stop it."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dp_assets.storage.atomic import write_bytes
from dp_assets.training.resume_state import EpochLog

logger = logging.getLogger(__name__)

SERVICES_FILE = "services.json"

Parameters = Mapping[str, str | int | float | bool]


class Service(Protocol):
    """A place outside that keeps parameters and curves of trainings.

    Attributes
    ----------
    name : what users call it.
    delivers_at_end : whether epochs are safe there only once the run has ended.
    """

    name: str
    delivers_at_end: bool

    def begin(self, run: str | None, title: str, parameters: Parameters) -> str:
        """Begin a run there, or go on with one; returns what the service calls it.

        Parameters
        ----------
        run : what an earlier `begin` returned, for a training that is resumed; None for a new run.
        title : what people call the training.
        parameters : settings and facts of the training, by name.
        """
        ...

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Record what a finished epoch (1-based) brought."""
        ...

    def end(self, finished: bool) -> None:
        """End the run; `finished` is False when the training was interrupted."""
        ...


class TrainingLog:
    """The services of one training.

    What each of them knows is kept in `services.json` in the model folder, so that a resumed training goes on
    with the same run there, and epochs that a killed run did not deliver any more are delivered then.

    Parameters
    ----------
    services : the services that the configuration names.
    folder : the model folder.
    """

    def __init__(self, services: Sequence[Service], folder: Path) -> None:
        self._services = list(services)
        self._path = folder / SERVICES_FILE
        self._safe = _read(self._path)
        self._known = dict(self._safe)

    @contextmanager
    def following(self, title: str, parameters: Parameters, history: Sequence[EpochLog]) -> Iterator[None]:
        """Begin the runs, catch up with finished epochs, and end the runs whatever happens."""
        for service in tuple(self._services):
            with self._kept_from_harm(service):
                run, epochs = self._known.get(service.name, (None, 0))
                self._known[service.name] = (service.begin(run, title, parameters), epochs)
        for entry in history:
            self.add(entry)
        try:
            yield
        except BaseException:
            self._end(finished=False)
            raise
        self._end(finished=True)

    def add(self, entry: EpochLog) -> None:
        """Deliver a finished epoch to every service that does not know it yet."""
        epoch = int(entry["epoch"] or 0)
        values = {name: value for name, value in entry.items() if name != "epoch" and value is not None}
        for service in tuple(self._services):
            run, known = self._known[service.name]
            if known < epoch:
                with self._kept_from_harm(service):
                    service.log(epoch, values)
                    self._known[service.name] = (run, epoch)
                    self._save(service, ended=False)

    def _end(self, *, finished: bool) -> None:
        for service in tuple(self._services):
            with self._kept_from_harm(service):
                service.end(finished)
                self._save(service, ended=True)

    def _save(self, service: Service, *, ended: bool) -> None:
        run, epochs = self._known[service.name]
        if service.delivers_at_end and not ended:
            epochs = self._safe.get(service.name, (None, 0))[1]
        self._safe[service.name] = (run, epochs)
        write_bytes(self._path, json.dumps(self._safe, indent=1).encode())

    @contextmanager
    def _kept_from_harm(self, service: Service) -> Iterator[None]:
        """What a service raises is said once; the training goes on without it."""
        try:
            yield
        except Exception as error:
            self._services.remove(service)
            logger.warning(
                "%s does not answer and is left out from here on; the training goes on, and log.csv and "
                "TensorBoard have every epoch (%s: %s)",
                service.name,
                type(error).__name__,
                error,
            )


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested settings as one level, {"params.learning_rate": 0.01}; lists as text, nothing for None."""
    found: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, (str, int, float, bool)):
            found[f"{prefix}{name}"] = value
        elif value is not None:
            found[f"{prefix}{name}"] = json.dumps(value)
    return found


def _read(path: Path) -> dict[str, tuple[str | None, int]]:
    try:
        known = json.loads(path.read_bytes())
        return {str(name): (str(run), int(epochs)) for name, (run, epochs) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        # Without it the services get a new run; the training itself does not depend on it.
        return {}
