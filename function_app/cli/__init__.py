"""The commands of `python -m function_app`. Not deployed to Azure."""
