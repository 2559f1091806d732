"""Keras callbacks as `train.model.callbacks` describes them: found, checked and made."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import keras

from dp_assets.config.errors import ModelError
from dp_assets.config.network import CallbackSettings
from dp_assets.training.callbacks import ConfiguredCallback, TrainingCallbacks
from dp_assets.training.resume_state import EpochLog

FOLDER = "callbacks"
_SCHEDULE = "the learning rate of every epoch is set by train.model.lr_schedule: use that"
_CHECKPOINTS = "checkpoints are written by train.model.checkpoint_policy, and a killed run resumes by itself"
REFUSED = {
    "ReduceLROnPlateau": f'{_SCHEDULE} ("plateau")',
    "LearningRateScheduler": f"{_SCHEDULE} (a table of epochs and rates)",
    "ModelCheckpoint": _CHECKPOINTS,
    "OrbaxCheckpoint": _CHECKPOINTS,
    "BackupAndRestore": _CHECKPOINTS,
    "TensorBoard": "curves for TensorBoard are always written: take it out",
    "LambdaCallback": "it takes Python functions, which a configuration cannot hold: take it out",
    "SwapEMAWeights": "it exchanges weights between epochs, which a resumed run cannot repeat: take it out",
    "ProgbarLogger": "the run reports every epoch by itself: take it out",
    "History": "log.csv holds the history: take it out",
}
BASES = ("Callback", "CallbackList", "MonitorCallback")
SMALLER_IS_BETTER = ("loss", "mse", "mae", "error", "crossentropy")
LARGER_IS_BETTER = ("accuracy", "acc", "top_k", "precision", "recall", "auc")


def build_callbacks(
    wanted: Sequence[CallbackSettings], names: Sequence[str], *, validated: bool, folder: Path
) -> TrainingCallbacks:
    """The callbacks of `train.model.callbacks`.

    Parameters
    ----------
    names : loss and metrics that every epoch measures, without `val_`.
    validated : whether there are validation cells.
    folder : the model folder; files that callbacks write go to its sub-folder `callbacks`.

    Raises
    ------
    ModelError : a callback that is not there or cannot be used here, wrong arguments, a quantity to monitor
        that is not measured.
    """
    monitored = (*names, *(f"val_{name}" for name in names)) if validated else tuple(names)
    return TrainingCallbacks(
        [_built(number, settings, monitored, folder) for number, settings in enumerate(wanted)]
    )


def known_callbacks() -> tuple[str, ...]:
    """Names of the Keras callbacks that a configuration can ask for."""
    return tuple(
        sorted(
            name
            for name, value in vars(keras.callbacks).items()
            if isinstance(value, type)
            and issubclass(value, keras.callbacks.Callback)
            and name not in REFUSED
            and name not in BASES
        )
    )


def _built(
    number: int, settings: CallbackSettings, monitored: Sequence[str], folder: Path
) -> ConfiguredCallback:
    where = f"train.model.callbacks[{number}]"
    kind = _class(settings.name, where)
    params = dict(settings.params)
    if "filename" in params:
        params["filename"] = str(_file(str(params["filename"]), where, folder))
    if params.get("append"):
        raise _refused(where, "append is true", "leave it out: the file always covers the whole training")
    if params.get("restore_best_weights"):
        raise _refused(
            where,
            "restore_best_weights is true, but the model of a training is that of its last epoch",
            'leave it out, use "checkpoint_policy": "best", and name that checkpoint in profile.checkpoint',
        )
    if _monitors(kind):
        monitor = str(params.get("monitor", "val_loss"))
        _check_monitor(monitor, monitored, where)
        params["mode"] = _mode(monitor, params.get("mode"), where)
    callback = _instance(kind, settings.name, params, where)
    if _monitors(kind):
        _rehearse(
            ConfiguredCallback(_instance(kind, settings.name, params, where), settings.name, where), monitored
        )
    return ConfiguredCallback(callback, settings.name, where)


def _class(name: str, where: str) -> type[keras.callbacks.Callback]:
    if name in REFUSED:
        raise ModelError(
            f"the callback {name!r} cannot be used here", where=f"{where}.name", remedy=REFUSED[name]
        )
    known = known_callbacks()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ModelError(
            f"{name!r} is no callback of Keras" + (f" (did you mean {near[0]!r}?)" if near else ""),
            where=f"{where}.name",
            remedy=f"use one of: {', '.join(known)}",
        )
    return getattr(keras.callbacks, name)


def _monitors(kind: type[keras.callbacks.Callback]) -> bool:
    return issubclass(kind, keras.callbacks.EarlyStopping)


def _file(name: str, where: str, folder: Path) -> Path:
    """The file a callback writes, inside the model folder and beside none of ours."""
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or not relative.name:
        raise _refused(
            where,
            f"filename is {name!r}, which leads out of the model folder",
            f"give a plain file name; the file is written into {FOLDER} in the model folder",
        )
    path = folder / FOLDER / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _check_monitor(monitor: str, monitored: Sequence[str], where: str) -> None:
    if monitor not in monitored:
        near = get_close_matches(monitor, monitored, n=1)
        without = monitor.startswith("val_") and not any(name.startswith("val_") for name in monitored)
        raise ModelError(
            f"monitors {monitor!r}, which is not measured"
            + (": there are no validation cells" if without else "")
            + (f" (did you mean {near[0]!r}?)" if near and not without else ""),
            where=f"{where}.params.monitor",
            remedy=f"use one of: {', '.join(monitored)}"
            + ("; or let train.partition.validation name images" if without else ""),
        )


def _mode(monitor: str, mode: object, where: str) -> str:
    """Whether smaller or larger is better; Keras knows it for plain losses only."""
    if mode in ("min", "max"):
        return str(mode)
    if mode not in (None, "auto"):
        raise _refused(where, f"mode is {mode!r}", 'use "min" or "max"')
    for endings, answer in ((SMALLER_IS_BETTER, "min"), (LARGER_IS_BETTER, "max")):
        if monitor.lower().endswith(endings):
            return answer
    raise _refused(
        where,
        f"nothing says whether a larger {monitor!r} is better",
        'add "mode": "max", or "min" where smaller is better',
    )


def _instance(
    kind: type[keras.callbacks.Callback], name: str, params: Mapping[str, Any], where: str
) -> keras.callbacks.Callback:
    try:
        return kind(**params)
    except Exception as error:  # Keras raises what it likes for arguments it does not like
        raise ModelError(
            f"the callback {name!r} cannot be made with {dict(params)!r}: {error}",
            where=f"{where}.params",
            remedy=f"see the arguments of keras.callbacks.{name}",
        ) from error


def _rehearse(callback: ConfiguredCallback, monitored: Sequence[str]) -> None:
    """Two epochs without a network: an argument of a wrong type shows now, not after the first epoch."""
    values: EpochLog = dict.fromkeys(monitored, math.e)
    TrainingCallbacks([callback]).begin(keras.Sequential(), 2, [values, values])


def _refused(where: str, what: str, remedy: str) -> ModelError:
    return ModelError(what, where=f"{where}.params", remedy=remedy)
