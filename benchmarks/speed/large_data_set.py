"""What a data set of JUMP's size would take, on paper: rates of a result, extrapolated."""

from dataclasses import dataclass

from benchmarks.speed.costs import limit_cpu, stage_cost
from benchmarks.speed.result import Result
from benchmarks.speed.stages import CROPS, PREPARE, PROFILE
from benchmarks.speed.table import Rows

FEATURE_BYTES = 4
HOUR, DAY, TERABYTE = 3600.0, 86400.0, 1e12


@dataclass(frozen=True)
class DataSet:
    """How much there is; images are taken to be as large as those of the result.

    Attributes
    ----------
    plates, sites : number of plates, and of sites on each.
    features : numbers for each cell.
    """

    plates: int = 2500
    sites: int = 3456
    features: int = 672


@dataclass(frozen=True)
class Node:
    """What is assumed of one machine. Nothing of it is measured.

    Attributes
    ----------
    cores : of its processor, each as fast as those of the result.
    gpu_cells_s : cells that its GPU takes through the network each second.
    storage_bytes_s : what it reads and writes each second when it is alone.
    shared_bytes_s : what all nodes together read and write each second.
    """

    cores: int = 16
    gpu_cells_s: float = 5000.0
    storage_bytes_s: float = 1e9
    shared_bytes_s: float = 20e9


@dataclass(frozen=True)
class SiteDemand:
    """What one site asks for in one stage: CPU seconds, GPU seconds, bytes read and written."""

    stage: str
    cpu_s: float
    gpu_s: float
    read: float
    written: float

    def seconds(self, node: Node, nodes: int) -> dict[str, float]:
        """Seconds of a site on so many nodes, were each of the three the only thing that takes time."""
        storage = min(nodes * node.storage_bytes_s, node.shared_bytes_s)
        return {
            "cores": self.cpu_s / (nodes * node.cores),
            "GPU": self.gpu_s / nodes,
            "storage": (self.read + self.written) / storage,
        }


def site_demands(result: Result, data: DataSet, node: Node) -> list[SiteDemand]:
    """The demands of the stages that the result has measured."""
    channels = result.settings.images.channels
    source, png = (channels * result.image_bytes.get(name, 0.0) for name in ("source", "png"))
    found = []
    for name in (PREPARE, CROPS, PROFILE):
        stage = result.stage(name)
        if stage is None:
            continue
        cost = stage_cost(stage)
        cells = cost.site_s / cost.cell_s
        if name == PREPARE:
            # The images are read once for the illumination functions, and once to be compressed.
            found.append(SiteDemand(name, cost.site_cpu_s, 0.0, 2 * source, png))
        elif name == CROPS:
            window = _window_side(result.settings.images.box) ** 2 * channels
            found.append(SiteDemand(name, cost.site_cpu_s, 0.0, png, cells * window))
        else:
            forward = result.limit("forward")
            network = 0.0 if forward is None else cells * limit_cpu(forward)
            rest = max(0.0, cost.site_cpu_s - network)
            features = cells * data.features * FEATURE_BYTES
            found.append(SiteDemand(name, rest, cells / node.gpu_cells_s, png, features))
    return found


def _window_side(box: int) -> int:
    """Side of a stored window: the box, the usual margin of an eighth, and a pixel before and after."""
    return box + 2 * (box // 8) + 2


def estimate_rows(
    result: Result, nodes: tuple[int, ...] = (1, 100), data: DataSet | None = None, node: Node | None = None
) -> Rows:
    """The table: what each stage asks for in all, how long it takes on so many nodes, and what limits it."""
    data, node = data or DataSet(), node or Node()
    sites = data.plates * data.sites
    headings = (
        "stage",
        "core hours",
        "GPU hours",
        "read TB",
        "written TB",
        *(text for count in nodes for text in (f"days on {count}", f"limit on {count}")),
    )
    rows = []
    for demand in site_demands(result, data, node):
        row = [
            demand.stage,
            f"{sites * demand.cpu_s / HOUR:,.0f}",
            f"{sites * demand.gpu_s / HOUR:,.0f}",
            f"{sites * demand.read / TERABYTE:,.0f}",
            f"{sites * demand.written / TERABYTE:,.1f}",
        ]
        for count in nodes:
            seconds = demand.seconds(node, count)
            limit = max(seconds, key=lambda name: seconds[name])
            row += [f"{sites * seconds[limit] / DAY:,.2f}", limit]
        rows.append(tuple(row))
    return headings, rows


def cores_for_gpu(result: Result, data: DataSet | None = None, node: Node | None = None) -> float | None:
    """Cores that read, cut and normalise as fast as one GPU profiles; None if that was not measured."""
    node = node or Node()
    for demand in site_demands(result, data or DataSet(), node):
        if demand.stage == PROFILE:
            return demand.cpu_s / demand.gpu_s
    return None
