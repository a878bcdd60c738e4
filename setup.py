"""Where the packages lie; everything else about the project stands in pyproject.toml.

The code of `fxnas.passes` and `fxnas.exporters` lies in the folders `passes` and `exporters`. The
mapping below tells setuptools so; the links `fxnas/passes` and `fxnas/exporters` tell it to
everything that reads the checkout itself.
"""

from setuptools import find_packages, setup

FOLDERS = {"fxnas": "fxnas", "fxnas.passes": "passes", "fxnas.exporters": "exporters"}

# A set: the links make setuptools meet the two mapped packages a second time, below fxnas.
found = {f"{name}.{sub}" for name, folder in FOLDERS.items() for sub in find_packages(folder)}

setup(packages=sorted(found | set(FOLDERS)), package_dir=FOLDERS)
