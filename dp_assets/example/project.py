"""The example project: two plates, a control and three treatments at four doses, two networks to compare."""

from collections.abc import Sequence
from pathlib import Path

from dp_assets.example.cells import CHANNELS
from dp_assets.example.experiments import NETWORKS, experiment_configuration, write_configuration
from dp_assets.example.phenotypes import CONTROL, compound_of, treatments
from dp_assets.example.plates import ExampleSummary, ImagingPlan, Progress, WellPlan, write_plates
from dp_assets.example.scene import SceneSettings

DOSES = (1.0, 3.0, 10.0, 30.0)  # micromolar
EFFECTS = (0.65, 0.8, 0.9, 1.0)  # share of the full effect at each dose
FIRST_ROW, FIRST_COLUMN = ord("C"), 4  # the edge of a plate dries out, so it is left empty


def write_example_project(
    root: Path,
    *,
    plates: int = 2,
    sites_per_well: int = 2,
    cells_per_site: int = 30,
    shape: tuple[int, int] = (368, 384),
    box_size: int = 64,
    epochs: int = 6,
    batch_size: int = 16,
    seed: int = 7,
    progress: Progress | None = None,
) -> ExampleSummary:
    """Write a project that can be prepared, trained and profiled from end to end within minutes.

    Every plate holds 16 wells: the control and three invented treatments, four wells each. Wells of a
    treatment differ in dose; one dose of each is held out for validation, another one on every plate, so that
    both plates and all treatments are in both splits. Each plate is a batch and has a compound of its own for
    every treatment, so that compounds with the same mechanism are in different batches. The same arguments
    write the same files.

    Parameters
    ----------
    root : the project folder; made when it is not there, files of an earlier example are replaced.
    plates : number of plates, at least 1.
    sites_per_well : fields of view per well.
    cells_per_site : cells in a control field; treatments thin them out by up to 10 %.
    shape : (rows, cols) of the images, pixels.
    box_size : side of the crops, pixels.
    epochs, batch_size : for training both networks.
    seed : source of all randomness.
    progress : called with (fields done, fields in all) after every field.
    """
    root = Path(root)
    imaging = ImagingPlan(SceneSettings(CHANNELS, shape, cells_per_site, scale=1.0), sites_per_well)
    plans = plan_plates(plates)
    cells = write_plates(root, plans, imaging, seed, progress)
    for network in NETWORKS:
        configuration = experiment_configuration(
            network, imaging, box_size=box_size, epochs=epochs, batch_size=batch_size
        )
        write_configuration(root, network, configuration)
    return summarise(root, plans, imaging, cells, tuple(NETWORKS))


def plan_plates(plates: int) -> list[WellPlan]:
    """What every well holds: a Latin square of treatments, so that no treatment owns a row or a column."""
    names = treatments()
    plans = []
    for plate in range(plates):
        for row in range(len(names)):
            for column in range(len(DOSES)):
                treatment = names[(row + column + plate) % len(names)]
                dose = (column + 2 * plate) % len(DOSES)
                is_control = treatment == CONTROL
                plans.append(
                    WellPlan(
                        plate=f"DEMO{plate + 1:05d}",
                        well=f"{chr(FIRST_ROW + row)}{FIRST_COLUMN + column:02d}",
                        treatment=treatment,
                        compound=compound_of(treatment, plate),
                        batch=str(plate + 1),
                        concentration=0.0 if is_control else DOSES[dose],
                        strength=0.0 if is_control else EFFECTS[dose],
                        replicate=plate * len(DOSES) + dose + 1 if is_control else plate + 1,
                        split="validation" if dose == 1 + plate % 2 else "training",
                    )
                )
    return plans


def summarise(
    root: Path, plans: Sequence[WellPlan], imaging: ImagingPlan, cells: int, experiments: tuple[str, ...]
) -> ExampleSummary:
    """What a call of `write_plates` and the configurations beside it amount to."""
    sites = len(plans) * imaging.sites
    return ExampleSummary(
        root=root,
        plates=tuple(dict.fromkeys(plan.plate for plan in plans)),
        wells=tuple(dict.fromkeys(plan.well for plan in plans)),
        channels=imaging.scene.channels,
        sites=sites,
        cells=cells,
        images=sites * len(imaging.scene.channels),
        experiments=experiments,
    )
