"""`python -m degen`: the command line, where `degen` is not on the path."""

from degen.cli.start import main

if __name__ == "__main__":
    main()
