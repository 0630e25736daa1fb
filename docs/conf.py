"""How Sphinx builds the site; `make docs`."""

from importlib.metadata import version as _version

project = "gearman_c"
author = "gearman_c contributors"
copyright = "gearman_c contributors, BSD-3-Clause"  # noqa: A001 - Sphinx wants this name
release = version = _version("gearman_c")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gearman_c {release}"

autodoc_member_order = "groupwise"
autodoc_class_signature = "separated"
autodoc_typehints = "description"
napoleon_use_rtype = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links that lead out of docs/, which GitHub shows
