"""Build: engine/, controller/ and lab/ are installed as onehop.engine, onehop.controller, …."""

import os
import pathlib
import shutil

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

PROJECT = "onehop"
PARTS = ("engine", "controller", "lab")
LINKS = pathlib.Path(".links")  # onehop/engine -> engine, ...: what Cython and mypy search
DEBUG = bool(os.environ.get("ONEHOP_DEBUG"))
LINK_ONLY = bool(os.environ.get("ONEHOP_LINK_ONLY"))  # an editable install before `build_ext`


def link_parts() -> str:
    """Lay the parts out under their import names and return the root of that tree."""
    shutil.rmtree(LINKS, ignore_errors=True)
    (LINKS / PROJECT).mkdir(parents=True)
    for part in PARTS:
        (LINKS / PROJECT / part).symlink_to(pathlib.Path("../..", part))
    return str(LINKS)


def extensions() -> list[Extension]:
    flags = ["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3"]
    flags += ["-fno-strict-aliasing"]  # keys are compared and hashed word by word
    return [
        Extension(f"{PROJECT}.engine.{pyx.stem}", [str(pyx)], extra_compile_args=flags)
        for pyx in sorted(pathlib.Path("engine").glob("*.pyx"))
    ]


setup(
    packages=[
        f"{PROJECT}.{name}" for name in find_packages(include=[*PARTS, *(f"{p}.*" for p in PARTS)])
    ],
    package_dir={f"{PROJECT}.{part}": part for part in PARTS},
    package_data={
        "": ["py.typed", "*.yaml", "*.j2"],
        f"{PROJECT}.engine": ["*.pxd", "*.pyi"],
    },
    ext_modules=cythonize(
        [] if LINK_ONLY else extensions(),
        nthreads=os.cpu_count() or 1,
        build_dir="build/cython",
        include_path=[link_parts()],
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "embedsignature": True,
            "embedsignature.format": "python",
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
        },
    ),
)
