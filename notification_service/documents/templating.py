"""The templates: each mail's pair, put into the layout they share, compiled once."""

from functools import cache
from pathlib import Path

import mrml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

_FOLDER = FileSystemLoader(Path(__file__).parent / "templates")

_TEXT = Environment(
    loader=_FOLDER,
    autoescape=False,  # noqa: S701 - plain text has nothing to escape
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
# `[% … %]` puts the parts of the MJML together, long before `{{ … }}` and `{% … %}` are filled in.
_PARTS = Environment(
    loader=_FOLDER,
    autoescape=False,  # noqa: S701 - no text of anybody's, only templates
    undefined=StrictUndefined,
    block_start_string="[%",
    block_end_string="%]",
    variable_start_string="[[",
    variable_end_string="]]",
    comment_start_string="[#",
    comment_end_string="#]",
)
_HTML = Environment(autoescape=True, undefined=StrictUndefined)


@cache
def text(name: str) -> Template:
    """What makes the text part of this kind of mail."""
    return _TEXT.get_template(f"{name}.txt.j2")


@cache
def html(name: str) -> Template:
    """What makes the HTML part of this kind of mail.

    MJML becomes HTML first, placeholders and all: no customer's text passes a second parser.
    """
    source = _PARTS.get_template(f"{name}.mjml.j2").render()
    # Web fonts would be fetched from elsewhere: none.
    return _HTML.from_string(
        mrml.to_html(source, render_options=mrml.RenderOptions(fonts={})).content
    )
