"""How exported models attend: the custom SDPA operator, and the caches they read and write.

``cache`` binds cache layers to transformers' ``Cache`` protocol; ``static``, ``custom`` and ``ring`` are the layers.
"""

from __future__ import annotations
