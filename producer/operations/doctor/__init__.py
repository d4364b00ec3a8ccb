"""The checks of `clipqueue doctor`, one subject per module, and the findings that they return."""
