"""`python -m function_app`: the engine without Functions."""

from function_app.cli.commands import run

if __name__ == "__main__":
    run()
