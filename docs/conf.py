"""The documentation's site: `sphinx-build -W --keep-going -b html docs docs/_build`."""

from importlib.metadata import version as version_of
from pathlib import Path

project = "trio_sqlrepo"
author = "trio_sqlrepo contributors"
project_copyright = author
version = release = version_of("trio-sqlrepo")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # two modules of the test kit have a `Fault`: no link, no guess
if not (Path(__file__).parent / "plots").exists():
    suppress_warnings.append("image.not_readable")  # `benchmarks.publish` draws them from a run
# The pages link to no other project's inventory, so that a build needs no network.

myst_heading_anchors = 4  # `page.md#heading`, the anchors that GitHub makes too
myst_enable_extensions = ["colon_fence"]

default_role = "code"  # docstrings write `name`, as the pages do
autodoc_use_legacy_class_based = True  # sphinxcontrib-trio extends those; Sphinx 9 has others too
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autoclass_content = "class"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has the types
napoleon_custom_sections = [
    ("Type arguments", "params_style"),
    ("Class arguments", "params_style"),
]

html_theme = "furo"
html_theme_options = {"light_css_variables": {"code-font-size": "0.78rem"}}
html_title = f"trio_sqlrepo {release}"
html_copy_source = False
