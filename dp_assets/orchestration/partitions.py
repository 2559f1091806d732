"""The one partition dimension: plates, registered by `image_index`."""

import dagster as dg

PLATES = "plates"
plates = dg.DynamicPartitionsDefinition(name=PLATES)
