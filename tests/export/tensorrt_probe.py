"""Runs in a process of its own, with one version of the real TensorRT bindings and stubs for its libraries.

Prints, as JSON, which names exist and what the docstrings of the called methods say; it proves that code calls an API
that exists, never that an engine builds.
"""

from __future__ import annotations

import importlib.util
import json
import sys


def lookup(root: object, dotted: str) -> object:
    for part in dotted.split("."):
        root = getattr(root, part)
    return root


def main() -> None:
    bindings, program = sys.argv[1:3]
    sys.path.insert(0, bindings)
    import tensorrt_bindings as trt

    sys.modules["tensorrt"] = trt
    docs = {}
    for name in json.load(sys.stdin):
        try:
            docs[name] = str(lookup(trt, name).__doc__)
        except AttributeError:
            docs[name] = None
    spec = importlib.util.spec_from_file_location("build_engine", program)
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    logger = build.make_logger(trt)
    logger.log(trt.ILogger.ERROR, "no memory")
    print(json.dumps({"version": trt.__version__, "docs": docs, "last_error": logger.last_error(),
                      "flags": {typing: build.creation_flags(trt, typing) for typing in ("strong", "weak")}}))


main()
