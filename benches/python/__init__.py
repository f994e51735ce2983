"""Times the parts of the Python side by themselves, with pytest-benchmark."""
