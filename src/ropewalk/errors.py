"""The one exception that is meant for people.

Everything a user's input can cause (a missing file, a wrong kind of trace, an unknown parametrization) is raised as a
`UserError` whose text is one clear sentence: what was expected, what was got, what to do next. The command
line prints it and exits with 1; any other exception is a defect of ropewalk and keeps its traceback.
"""


class UserError(Exception):
    """A mistake that a person can mend: expected, got, what to do next, in one sentence."""


def first_problem(error: Exception) -> str:
    """The first problem of a pydantic ValidationError as `place: what`; any other error as its first line."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error).partition("\n")[0]
    problem = problems()[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{place}'"
    return f"{place}: {message}" if place else message
