"""From values to one HTML file, through templates that escape every text."""

import base64
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

# (heading, caption, PNG bytes)
Pictures = Sequence[tuple[str, str, bytes]]


def render(template: str, **values: Any) -> bytes:
    """The HTML of a template as UTF-8."""
    return _templates().get_template(template).render(**values).encode("utf-8")


def embedded(pictures: Pictures) -> list[dict[str, str]]:
    """Pictures as the templates take them: `heading`, `caption` and `source`, the bytes as a data URI."""
    return [
        {
            "heading": heading,
            "caption": caption,
            "source": f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
        }
        for heading, caption, png in pictures
    ]


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("dp_assets.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
