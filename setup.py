"""Maps the top-level folders onto the packages lengthwise.tasks, lengthwise.kernels, …

All other metadata stands in pyproject.toml; only this computed mapping cannot be written there.
"""

from setuptools import find_packages, setup

HOUSE = ("tasks", "architectures", "kernels", "harness")

setup(
    packages=[
        package
        for room in HOUSE
        for package in (
            f"lengthwise.{room}",
            *(f"lengthwise.{room}.{inner}" for inner in find_packages(room)),
        )
    ],
    package_dir={f"lengthwise.{room}": room for room in HOUSE},
    package_data={"": ["py.typed", "*.html", "*.css"]},
)
