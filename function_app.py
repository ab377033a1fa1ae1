# The Azure Functions worker looks for a file of this name; Python then imports the package function_app/, where the code is.
