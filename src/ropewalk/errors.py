"""The exception for mistakes that a person can correct.

Whatever a user's input can cause (a missing file, the wrong kind of trace, an unknown parametrization) is raised as a
`UserError` whose text is one sentence: what is wrong, where, what to do next. The command line prints it and exits
with 1; any other exception is a defect of ropewalk and keeps its traceback.
"""

DOCUMENTATION = "https://ropewalk.github.io/ropewalk"
RECIPES = "https://github.com/ropewalk/ropewalk/tree/main/recipes"
"""Where errors send a reader: an installed package holds neither documentation nor recipes."""


class UserError(Exception):
    """A mistake in the input: what is wrong, where, what to do next, in one sentence."""


def first_problem(error: Exception) -> str:
    """The first problem of a pydantic ValidationError as `place: what`; the first line of any other error."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error).partition("\n")[0]
    problem = problems()[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{place}'"
    return f"{place}: {message}" if place else message
