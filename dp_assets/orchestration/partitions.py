"""The one partition dimension: plates, registered by `image_index`."""

import dagster as dg

plates = dg.DynamicPartitionsDefinition(name="plates")
