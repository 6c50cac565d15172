"""Sphinx's settings for the book and the site. Nothing comes from the network, neither when built nor when read.

Its pages are written into another folder by build.py, which also calls Sphinx.
"""

import re
from pathlib import Path

from sphinx.util import logging
from sphinx.util.docutils import nodes

from autograder.feedback.formulas import mathml

project = "Transformer Taxonomy"
author = "the authors of Transformer Taxonomy"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
suppress_warnings = ["mystnb.unknown_mime_type"]  # a result also holds itself as data, for nbgrader's pages

# Outputs are shown as they are stored: a build executes nothing.
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # would be loaded from the network
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # so that pages can link to a section of another

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sourcelink = False
# The lines around what was found would have to be fetched, which browsers refuse to a page that lies on a disk.
html_show_search_summary = False
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
copybutton_selector = "div.cell_input pre, div.highlight-python pre, div.highlight-sh pre"
copybutton_exclude = ".linenos"


def setup(app):
    """Let formulas be written as MathML, which browsers show without any script or font of ours."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator, node):
    written = _formula(node, block=False)
    # Browsers do not break a formula into lines: on a phone a long one gets a line of its own, which scrolls.
    if len(re.sub("<[^>]*>", "", written)) > 24:
        written = f'<span class="long">{written}</span>'
    translator.body.append(written)
    raise nodes.SkipNode


def _block(translator, node):
    # A formula may be wider than a phone: then it scrolls by itself, with the keyboard as well.
    translator.body.append(f'<div class="formula" tabindex="0">{_formula(node, block=True)}</div>\n')
    raise nodes.SkipNode


def _formula(node, block):
    written = mathml(node.astext(), block)
    # A command that is not known stays as it is.
    if written.startswith("<code>") or "\\" in re.sub("<[^>]*>", "", written):
        logging.getLogger(__name__).warning("this formula cannot be read: %s", node.astext(), location=node)
    return written
