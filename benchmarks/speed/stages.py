"""The stages that are measured, by the names they have in results."""

PREPARE, FAST_PREPARE, WHOLE_PREPARE = "prepare", "prepare, fast codec", "prepare, all assets"
CROPS, PROFILE = "crop store", "profile"
STAGES = (PREPARE, FAST_PREPARE, WHOLE_PREPARE, CROPS, PROFILE)
PROFILING, TRAINING = "profiling", "training"
"""The experiments of a project: one with the weights of a checkpoint, one to be trained."""
PREPARATION = ("illumination_functions", "compressed_images")
TABLES = ("plate_images", "plate_annotations", "cell_locations")
FEATURES = f"{PROFILING}/cell_features"
IMPORTED, DEFINED, BEGUN, ENDED = "imported", "definitions", "begun", "end"
"""Marks of a process: its code is imported, its graph is built, the first run begins, the last has ended."""
FIRST_SITE = "first site"
"""Mark of when a stage was ready and had read its first site: for features, the network waits for cells."""


def assets_of(stage: str, box: int) -> tuple[str, ...]:
    """The assets of a stage, with crops of `box` pixels."""
    return {
        PREPARE: PREPARATION,
        FAST_PREPARE: PREPARATION,
        WHOLE_PREPARE: (*TABLES, "image_quality", *PREPARATION),
        CROPS: (crop_set(box),),
        PROFILE: (FEATURES,),
    }[stage]


def crop_set(box: int) -> str:
    """The crop stores of a box size."""
    return f"single_cells/box{box}"
