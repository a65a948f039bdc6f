"""What pyproject.toml cannot say: the experiments in configs/ are installed as data of `dino`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["dino*", "data_pipeline*"]), "dino.configs"],
    package_dir={"dino.configs": "configs"},
    package_data={"dino": ["py.typed"], "data_pipeline": ["py.typed"], "dino.configs": ["*.yaml"]},
)
