"""One file a family: its registry rows, and nothing else. A new file here is discovered; no list needs an edit."""
