"""Carries fine-tuning jobs into W&B. `app` is what the Azure Functions worker looks for, and must stay the only one."""

from function_app.triggers import app

__all__ = ["app"]
