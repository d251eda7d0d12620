"""``python -m opdbench``: the same as the command ``opdbench``."""

from opdbench.cli import main

if __name__ == "__main__":
    main()
