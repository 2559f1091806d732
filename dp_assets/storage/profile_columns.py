"""The metadata columns of profiles: one name for each role, whatever the columns of a project are called.

All of them are text. What a row does not have is the empty string.
"""

TREATMENT = "Metadata_Treatment"
COMPOUND = "Metadata_Compound"
CONCENTRATION = "Metadata_Concentration"
LABEL = "Metadata_MOA"
BATCH = "Metadata_Batch"
CONTROL = "Metadata_Control"
REPLICATE = "Metadata_Replicate"
CELL_COUNT = "Metadata_Cell_Count"
WELL_COUNT = "Metadata_Well_Count"
SITE_COUNT = "Metadata_Site_Count"
PLATES = "Metadata_Plates"

# Values of CONTROL.
IS_CONTROL, IS_TREATED = "true", "false"

# Between batches and plates of a treatment, in order of appearance.
SEPARATOR = ","

ROLES = (TREATMENT, COMPOUND, CONCENTRATION, LABEL, BATCH, CONTROL, REPLICATE)
