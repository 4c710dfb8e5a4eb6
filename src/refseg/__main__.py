"""`python -m refseg`: the command line."""

from refseg.cli import main

if __name__ == "__main__":
    main()
