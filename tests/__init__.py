"""Everything that tests penstock; nothing outside this folder imports from it."""
