"""`python -m tframex` is the `tframex` command."""

from tframex.cli import main

if __name__ == "__main__":
    main()
