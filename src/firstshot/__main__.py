"""`python -m firstshot` is the command `firstshot`."""

from firstshot.cli import main

if __name__ == "__main__":
    main()
