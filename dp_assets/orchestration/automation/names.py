"""The names of everything that runs by itself, as the Automation page of the UI shows them."""

NEW_PLATES = "new_plates"
NIGHTLY = "nightly_backfill"
RECHECK = "weekly_recheck"
STALE = "stale_results"
RETRAIN = "retraining"
FAILURES = "failures"
# tag of a run: what started it
STARTED_BY = "dp/automation"
