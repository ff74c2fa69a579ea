"""What a fork server preloads for cells that only pretend: nothing of the stack, so that it starts at once."""

from conformance import processes

processes.serve()
