"""A third-party distribution: one method and one task, installed by the tests of opdbench."""
