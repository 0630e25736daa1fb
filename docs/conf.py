"""How Sphinx builds the site; `make docs`."""

import ast
from importlib.metadata import version as _version
from pathlib import Path

project = "gearman_c"
author = "gearman_c contributors"
copyright = "gearman_c contributors, BSD-3-Clause"  # noqa: A001 - Sphinx wants this name
release = version = _version("gearman_c")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gearman_c {release}"
smartquotes = False  # they make one dash of the two of an option

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3


def read_signatures():
    """Return the arguments and the result of each method of the stub, by qualified name.

    The extension knows the arguments of its methods, but no types, and nothing of `__init__`.
    """
    stub = Path(__file__).parent.parent / "gearman_c" / "_gearman.pyi"
    found = {}
    for kind in ast.parse(stub.read_text()).body:
        for method in getattr(kind, "body", []):
            # One with decorators is a property, or has overloads, none of which is the whole.
            if isinstance(method, ast.FunctionDef) and not method.decorator_list:
                method.args.args = method.args.args[1:]  # without self
                arguments = f"({ast.unparse(method.args)})"
                found[f"{kind.name}.{method.name}"] = arguments, ast.unparse(method.returns)
    return found


def setup(app):
    """Take the signatures of the extension from its stub."""
    known = read_signatures()

    def look_up(app, what, name, obj, options, signature, result):
        if name in ("gearman_c.Client", "gearman_c.Worker"):
            return known[f"{obj.__name__}.__init__"][0], None
        if name == "gearman_c.aio.Submission":
            return "", None  # made by submit()
        if type(obj).__name__ == "cython_function_or_method":
            return known.get(obj.__qualname__)
        return None  # Python's own know their types

    app.connect("autodoc-process-signature", look_up)
