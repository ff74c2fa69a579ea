"""Defects that no cell shows by itself: it takes what was accepted before."""
