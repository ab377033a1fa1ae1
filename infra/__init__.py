"""The deployment of the function app: Bicep templates, the package, and what turns the output of setup into parameters."""
