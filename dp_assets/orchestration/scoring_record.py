"""What `dp-assets score` remembers of a project: its tables, the files it wrote, and what is finished."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dp_assets.config.errors import ProjectError
from dp_assets.storage.atomic import write_bytes

FILE = "score.json"


@dataclass(frozen=True)
class ScoringRecord:
    """The record of a project.

    Attributes
    ----------
    tables : the tables that are scored, absolute.
    experiments : experiment -> fingerprints of the files that were written for it.
    finished : experiment -> what its last finished evaluation was made from.
    """

    tables: list[str]
    experiments: dict[str, list[str]] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Keep the record in the project folder."""
        write_bytes(root / FILE, (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())

    def begin(self, root: Path, experiment: str) -> "ScoringRecord":
        """Forget that an experiment was finished, and return the new record."""
        record = replace(self, finished={k: v for k, v in self.finished.items() if k != experiment})
        record.write(root)
        return record

    def finish(self, root: Path, experiment: str, made_from: str) -> "ScoringRecord":
        """Write down what an experiment was evaluated from, and return the new record."""
        record = replace(self, finished={**self.finished, experiment: made_from})
        record.write(root)
        return record


def read_record(root: Path) -> ScoringRecord | None:
    """The record of a project; None where there is no project yet.

    Raises
    ------
    ProjectError : the folder holds something else, or the record is damaged.
    """
    path = root / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return ScoringRecord(
            list(found["tables"]),
            {name: list(known) for name, known in found["experiments"].items()},
            dict(found["finished"]),
        )
    except FileNotFoundError:
        if root.is_dir() and any(root.iterdir()):
            raise ProjectError(
                "the folder holds something that `dp-assets score` did not make",
                where=str(root),
                remedy="name another folder with --project",
            ) from None
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProjectError(
            f"the record of this project cannot be read ({error})",
            where=str(path),
            remedy="delete the folder, or name another one with --project",
        ) from error
