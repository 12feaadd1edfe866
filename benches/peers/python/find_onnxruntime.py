#!/usr/bin/env python3
"""Prints where the library of this interpreter's onnxruntime lies."""

import importlib.util
import pathlib
import sys

NAMES = ["libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll"]


def main() -> None:
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        sys.exit("no onnxruntime")
    folder = pathlib.Path(found.origin).parent / "capi"
    libraries = sorted(path for name in NAMES for path in folder.glob(name))
    if not libraries:
        sys.exit(f"no library in {folder}")
    print(libraries[0])


if __name__ == "__main__":
    main()
