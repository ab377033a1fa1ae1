"""The checks of `doctor`: one for each link between the operator and the function app. They only read."""
