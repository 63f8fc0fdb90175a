"""`python -m tuner_tui` is `tuner`."""

from .cli import main

if __name__ == "__main__":
    main()
