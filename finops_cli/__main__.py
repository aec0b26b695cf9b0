"""`python -m finops_cli`, the same as `finops`."""

from finops_cli.cli import main

if __name__ == "__main__":
    main()
