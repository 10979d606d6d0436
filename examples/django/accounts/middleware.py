"""An error of Ringproof's becomes an answer, in the user's language."""

import logging

from celery.exceptions import TimeoutError as NoAnswer
from django.http import HttpRequest, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import get_language

from ringproof.errors import RingproofError
from ringproof.http_answer import answer_to

log = logging.getLogger(__name__)


class RingproofErrors(MiddlewareMixin):
    """Middleware for views that call Ringproof and catch nothing themselves, of both kinds."""

    def process_exception(self, _request: HttpRequest, error: Exception) -> JsonResponse | None:
        """Answer what a view has raised, if it is Ringproof's; `NoAnswer`: no worker answered in time."""
        if not isinstance(error, RingproofError | NoAnswer):
            return None
        answer = answer_to(error, get_language() or "en")
        if answer.status >= 500:
            log.warning("%s: %s", type(error).__name__, error)
        return JsonResponse({"error": answer.sentence}, status=answer.status, headers=answer.headers)
