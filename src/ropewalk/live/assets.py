"""The live page's html: the page of `views.page` with a text box that asks the local server."""

from typing import Any

from ropewalk.errors import UserError
from ropewalk.live.answers import Answers
from ropewalk.views import page

POLICY = f"{page.OFFLINE}; connect-src 'self'"


def live_page(answers: Answers, text: str, longest: int) -> str:
    """The page as the server sends it: with the first model's picture of `text` already inside.

    Where that model fails, a blank picture and the reason; the page stays usable with the other models.
    """
    name = next(iter(answers.models))
    payload: dict[str, Any] = {
        "mode": "live",
        "models": list(answers.models),
        "longest": longest,
        "text": text,
        "attention": True,
    }
    try:
        first = answers.answer({"model": name, "text": text})
    except UserError as error:
        first, payload["problem"] = None, str(error)
    except Exception as error:
        first, payload["problem"] = None, f"The model failed ({type(error).__name__})."
    payload |= {"first": first, "entries": [first["entry"]] if first else []}
    return page.document(payload, module="live/live_page.js", policy=POLICY)
