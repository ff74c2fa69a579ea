"""Opens a program and loads its methods, in a process that may die of it: ``python -m conformance.sessions.probe FILE``."""

from __future__ import annotations

import sys


def main() -> None:
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    from executorch.runtime import Runtime, Verification

    program = Runtime.get().load_program(sys.argv[1], verification=Verification.InternalConsistency)
    for name in program.method_names:
        program.load_method(name)


if __name__ == "__main__":
    main()
