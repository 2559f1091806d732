"""In which batches the treatments of a label were made."""

from dataclasses import dataclass

import pandas as pd

from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.storage.profile_columns import SEPARATOR


@dataclass(frozen=True)
class LabelBatches:
    """Labels that cannot be told from their batch, and the facts behind it.

    Attributes
    ----------
    single : labels whose treatments are all of one and the same batch.
    named : labels that the protocol leaves out by name.
    table : one row per label: label, treatments, compounds, batches (how many), in_nscb.
    """

    single: frozenset[str]
    named: frozenset[str]
    table: pd.DataFrame


def label_batches(
    treatments: ProfileSet, label_sets: list[frozenset[str]], excluded_labels: tuple[str, ...]
) -> LabelBatches:
    """Count the batches of every label.

    Parameters
    ----------
    treatments : batches of a treatment are joined with ","; where none is known it counts for no batch.
    label_sets : the labels of each treatment.
    excluded_labels : labels to leave out by name; case does not count.
    """
    by_label: dict[str, list[int]] = {}
    for row, labels in enumerate(label_sets):
        for label in labels:
            by_label.setdefault(label, []).append(row)
    named = {name.casefold() for name in excluded_labels}
    found = []
    for label, rows in sorted(by_label.items()):
        batches = {batch for text in treatments.batches[rows] for batch in text.split(SEPARATOR) if batch}
        excluded = label.casefold() in named
        found.append(
            {
                "label": label,
                "treatments": len(rows),
                "compounds": len(set(treatments.compounds[rows]) - {""}),
                "batches": len(batches),
                "named": excluded,
                "in_nscb": len(batches) > 1 and not excluded,
            }
        )
    columns = ["label", "treatments", "compounds", "batches", "named", "in_nscb"]
    table = pd.DataFrame(found, columns=columns)
    return LabelBatches(
        single=frozenset(table.loc[table["batches"] < 2, "label"]),
        named=frozenset(table.loc[table["named"].astype(bool), "label"]),
        table=table.drop(columns="named"),
    )
