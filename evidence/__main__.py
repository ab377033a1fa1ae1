"""Entry point of `python -m evidence`."""

from evidence.runner import main

if __name__ == "__main__":
    main()
