"""BaSiC (Peng et al. 2017, Nat Commun 8:14836), another way to correction functions, and why it is not here.

It was to come from the library BaSiCPy. No version of it can be installed beside NumPy 2: versions 1.2 and
2.0 ask for SciPy below 1.13, and version 1.1, which installs, fails when it is imported, because it needs
parts of JAX that went with version 0.4.24; JAX before that needs NumPy 1. See docs/compression.md.
"""

from dp_assets.config.errors import Problem

UNAVAILABLE = Problem(
    'the method "basic" is not available: no version of BaSiCPy (1.0 to 2.0) works beside NumPy 2, which '
    "dp_assets needs",
    "prepare.illumination_correction.method",
    'set it to "original", or leave the key out; docs/compression.md says what was tried',
)
