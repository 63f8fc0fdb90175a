"""`python -m tuner_tui.cli` is `tuner`: what the tuner itself starts."""

from . import main

if __name__ == "__main__":
    main()
