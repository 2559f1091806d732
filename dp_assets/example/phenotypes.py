"""What the synthetic treatments do to a cell, as numbers: sizes, shapes, textures and brightness."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import numpy as np

CONTROL = "DMSO"


@dataclass(frozen=True)
class Phenotype:
    """How the cells of one condition look. Lengths are pixels of a cell of scale 1, levels are relative to
    control.

    Attributes
    ----------
    cell_radius, cell_elongation, cell_roughness : mean radius, long over short axis, depth of bays in the
        outline.
    nucleus_radius, nucleus_elongation, nucleus_lobes : the same for the nucleus.
    chromatin_clumps : contrast of coarse grain in the DNA stain.
    nucleoli, nucleolus_level : mean number of nucleoli, and their brightness over the cytoplasm (RNA stain).
    vacuoles : share of the cytoplasm that is dark holes in the RNA stain.
    cortex_level, fibre_level : brightness of the ring of actin under the membrane, and of stress fibres.
    mito_spread : how far from the nucleus mitochondria reach, in cell radii.
    mito_fragments : 0 a network of filaments, 1 separate dots.
    dna_level, rna_level, actin_level, mito_level : brightness of each stain.
    density : cells per field of view.
    """

    cell_radius: float = 20.0
    cell_elongation: float = 1.25
    cell_roughness: float = 0.10
    nucleus_radius: float = 9.0
    nucleus_elongation: float = 1.2
    nucleus_lobes: float = 0.04
    chromatin_clumps: float = 0.12
    nucleoli: float = 2.5
    nucleolus_level: float = 0.8
    vacuoles: float = 0.0
    cortex_level: float = 0.5
    fibre_level: float = 0.6
    mito_spread: float = 0.85
    mito_fragments: float = 0.0
    dna_level: float = 1.0
    rna_level: float = 1.0
    actin_level: float = 1.0
    mito_level: float = 1.0
    density: float = 1.0


UNTREATED = Phenotype()

# Invented compounds with invented effects; each changes shape and texture, not brightness alone, because
# crops are stretched to their own range before a network sees them.
TREATED: Mapping[str, Phenotype] = MappingProxyType(
    {
        "Nuclidol": replace(
            UNTREATED,
            nucleus_radius=12.5,
            nucleus_lobes=0.20,
            chromatin_clumps=0.42,
            cell_radius=22.5,
            nucleoli=6.0,
            nucleolus_level=1.6,
            dna_level=0.8,
            rna_level=1.2,
            density=0.9,
        ),
        "Mitofragin": replace(
            UNTREATED,
            cell_elongation=2.1,
            nucleus_elongation=1.5,
            mito_fragments=1.0,
            mito_spread=0.5,
            vacuoles=0.6,
            nucleoli=1.0,
            nucleolus_level=0.1,
            fibre_level=0.1,
            cortex_level=0.35,
            mito_level=1.25,
            density=0.95,
        ),
        "Rotundin": replace(
            UNTREATED,
            cell_radius=14.5,
            cell_elongation=1.05,
            cell_roughness=0.03,
            nucleus_radius=7.0,
            nucleus_elongation=1.05,
            cortex_level=2.2,
            fibre_level=0.05,
            mito_spread=0.7,
            dna_level=1.4,
            actin_level=1.3,
            density=0.9,
        ),
    }
)

# What each treatment is said to do, and the two compounds that are said to do it.
MECHANISMS: Mapping[str, str] = MappingProxyType(
    {
        "Nuclidol": "Nuclear swelling",
        "Mitofragin": "Mitochondrial fission",
        "Rotundin": "Cell rounding",
    }
)
PREPARATIONS = ("A", "B")


def mechanism_of(treatment: str) -> str:
    """The mechanism of a treatment; "" for the control."""
    return MECHANISMS.get(treatment, "")


def compound_of(treatment: str, plate: int) -> str:
    """The compound that plate number `plate` (from 0) has of a treatment: `Nuclidol-A`, `Nuclidol-B`, ...

    The compounds of a treatment look alike and share no plate: a representation shows whether it finds
    the mechanism across compounds and batches.
    """
    if treatment == CONTROL:
        return CONTROL
    return f"{treatment}-{PREPARATIONS[plate % len(PREPARATIONS)]}"


def treatments() -> tuple[str, ...]:
    """The control first, then the treatments in the order they are listed here."""
    return (CONTROL, *TREATED)


def phenotype_of(treatment: str, strength: float) -> Phenotype:
    """The look of cells under a treatment; `strength` blends from 0, untreated, to 1, the full effect."""
    if treatment == CONTROL:
        return UNTREATED
    return _blend(UNTREATED, TREATED[treatment], strength)


def vary(phenotype: Phenotype, spread: float, rng: np.random.Generator) -> Phenotype:
    """One cell of a population: every number is drawn log-normally around the population's."""
    factors = np.exp(spread * rng.standard_normal(len(fields(phenotype))))
    drawn = {
        item.name: float(getattr(phenotype, item.name) * factor)
        for item, factor in zip(fields(phenotype), factors, strict=True)
    }
    drawn["mito_fragments"] = min(drawn["mito_fragments"], 1.0)
    return Phenotype(**drawn)


def _blend(first: Phenotype, second: Phenotype, weight: float) -> Phenotype:
    return Phenotype(
        **{
            item.name: (1 - weight) * getattr(first, item.name) + weight * getattr(second, item.name)
            for item in fields(first)
        }
    )
