"""Sessions: one small protocol over eager PyTorch, quantized eager PyTorch and the ExecuTorch runtime.

Comparisons and the generation loop are written once and take sessions; nothing outside of this folder calls a runtime.
"""

from conformance.sessions.protocol import GenerationSession, SessionError

__all__ = ["GenerationSession", "SessionError"]
