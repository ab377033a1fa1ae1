"""`python -m function_app`: the engine without Functions."""

from function_app.cli import main

if __name__ == "__main__":
    main()
