"""The sections of a report, one file each; a new file here is a new section.

A section's module has three names: ORDER (a number, sections stand in this order), TITLE, and
`build(results) -> Section | None`, where None means there is nothing to show.
"""

import pkgutil
from importlib import import_module

from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Section


def build_sections(results: Results) -> dict[str, Section]:
    """Every section with something to show, by title, in order."""
    modules = [
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    ]
    built = {
        module.TITLE: module.build(results)
        for module in sorted(modules, key=lambda module: module.ORDER)
    }
    return {title: section for title, section in built.items() if section is not None}
