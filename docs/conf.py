"""Sphinx settings of the documentation site. It is built without network (docs/decisions)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parents[1])]

from finops_cli.version import __version__  # noqa: E402 - the line above makes it importable

project = "finops"
author = "the authors of finops"
copyright = "2026, the authors of finops"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "first_use"]
exclude_patterns = ["_ext", "_static"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!finops_cli\.api).*"),  # types of other modules have no page of their own
]

html_theme = "furo"
html_title = "finops"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
add_module_names = False
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
