"""Holds penstock's filters against AWS's own event-ruler, which runs on Java."""
