"""Scores, pictures and tables of one experiment as an HTML file that stands alone."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dp_assets.figures.report_rendering import Pictures, embedded, render
from dp_assets.figures.report_scores import Score, exclusions, headlines, reasons, score_row
from dp_assets.figures.report_tables import ReportTable, report_table

ERRORS = "errors"


def evaluation_report(
    title: str,
    scores: Sequence[Score],
    pictures: Pictures,
    tables: Sequence[tuple[str, pd.DataFrame]],
    facts: Mapping[str, str],
) -> bytes:
    """The report of one experiment: no network, nothing beside it.

    Parameters
    ----------
    title : of the report, such as the name of the experiment.
    scores : each with `name`, `value`, `low`, `high`, `n`, `unit`, `protocol`, `excluded` (reason -> count),
        `chance`, `higher_is_better`, `reason` and `details` (name -> number). None and NaN are no value; such
        scores stand at the end with their reason.
    pictures : (heading, caption, PNG bytes).
    tables : (heading, table). Those whose heading begins with "errors" stand before the pictures. Of long
        tables the first 200 rows are shown, and the report says so.
    facts : what else there is to say of the profiles.

    Returns
    -------
    UTF-8 HTML. Every text is escaped; pictures, style and the script that sorts tables are inside.
    """
    rows = [score_row(score) for score in scores]
    shown = [report_table(heading, table) for heading, table in tables]
    return render(
        "evaluation.html",
        title=title,
        facts=facts,
        rows=[row for row in rows if row.bar is not None],
        cards=headlines(rows),
        exclusions=exclusions(rows),
        absent=reasons(rows),
        errors=[table for table in shown if _is_of_errors(table)],
        pictures=embedded(pictures),
        tables=[table for table in shown if not _is_of_errors(table)],
    )


def _is_of_errors(table: ReportTable) -> bool:
    return table.heading.lower().startswith(ERRORS)
