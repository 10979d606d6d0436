"""A sign-up, and the four steps of its phone number. `accounts.middleware` answers the errors that no view catches."""

import asyncio
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth import login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.http import require_GET, require_POST

from accounts.forms import SignUp
from accounts.models import Phone
from ringproof import confirm_verification, initiate_verification
from ringproof.errors import RingproofError
from ringproof.http_answer import answer_to

WAIT_SECONDS: Final = 10


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/page.html", {"form": SignUp(), "LANGUAGE_CODE": get_language()})


@require_POST
def sign_up(request: HttpRequest) -> JsonResponse:
    form = SignUp(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=422)
    answer: dict[str, Any] = {"error": None}

    def send_first_code() -> None:  # no functools.partial: it has no name for Django's log
        try:
            ask_for_code(phone)
        except RingproofError as error:  # the user exists, and asks for a code again at /phone
            answer["error"] = answer_to(error, get_language() or "en").sentence

    with transaction.atomic():
        phone = form.create_user()
        transaction.on_commit(send_first_code, robust=True)
    login(request, phone.user)
    return JsonResponse(answer, status=201)


@require_POST
def send_code(request: HttpRequest) -> JsonResponse:
    ask_for_code(phone_of(request), resend="resend" in request.POST)
    return JsonResponse({}, status=202)


@require_GET
async def state(request: HttpRequest) -> JsonResponse:
    phone = await sync_to_async(phone_of)(request)
    if not phone.is_own:  # where another person's request stands is not for this user
        return JsonResponse({"state": "PENDING"})
    verification = initiate_verification.AsyncResult(phone.request)
    code_state = await verification.astate()
    if code_state in {"FAILURE", "REVOKED"}:
        await verification.wait(timeout=0)  # raises why, which the middleware answers
    return JsonResponse({"state": code_state})


@require_POST
async def confirm(request: HttpRequest) -> JsonResponse:
    phone, code = await sync_to_async(phone_of)(request), request.POST.get("code", "")
    await asyncio.shield(enter(phone, code))  # a browser that goes away ends the view, but not the entry
    return JsonResponse({"state": "VERIFIED"})


async def enter(phone: Phone, code: str) -> None:
    """Have Plivo check a code, and store the proof: it is given once."""
    await confirm_verification.aconfirm(phone.number, code, request=phone.request, timeout=WAIT_SECONDS)
    phone.verified_at = timezone.now()
    await phone.asave(update_fields=["verified_at"])


def ask_for_code(phone: Phone, *, resend: bool = False) -> None:
    """Send a code to a user's number. Two clicks send one: the second one gets the same request."""
    verification = initiate_verification.delay(
        phone.number, alias=phone.user.username, requester=str(phone.user.pk), resend=resend
    )
    if verification.id != phone.request:
        phone.request, phone.is_own = verification.id, not verification.is_anothers
        phone.save(update_fields=["request", "is_own"])


def phone_of(request: HttpRequest) -> Phone:
    if not request.user.is_authenticated:
        raise PermissionDenied
    return Phone.objects.select_related("user").get(user=request.user)
