"""Phone numbers in Django: a field for forms, and a validator for models. Their errors are sentences for end users.

class SignUp(forms.Form):
    phone = PhoneNumberField()

class Profile(models.Model):
    phone = models.CharField(max_length=16, validators=[validate_phone_number])
"""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language

from ringproof.errors import InvalidNumber
from ringproof.number_check import check_typed
from ringproof.phone.number import Channel, check_channel, check_region, optional_region
from ringproof.words import Catalogue, sentence


class PhoneNumberInput(forms.TextInput):
    """An `<input type="tel">`, which a browser fills with the user's own number."""

    input_type = "tel"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "tel"} | (attrs or {}))


class PhoneNumberField(forms.CharField):
    """A field whose value is the E.164 form of a number that can get a code, as `check_number` says.

        phone = PhoneNumberField(region="GB", channel="auto")
        phone = PhoneNumberField(error_messages={"no_country": "Which country is this number of?"})

    `region`, `channel` and `account` are those of `initiate_verification.delay`. The sentences are in the language
    that is active in Django, if Ringproof has it; `catalogue` has those of your own (`ringproof.words.load`). The code
    of a `ValidationError` is the reason of the `InvalidNumber`.
    """

    widget = PhoneNumberInput

    def __init__(
        self,
        *,
        region: str | None = None,
        channel: Channel = "sms",
        account: str | None = None,
        catalogue: Catalogue | None = None,
        **options: Any,
    ) -> None:
        named = optional_region(region)
        self.region = named and check_region(named)
        self.channel: Channel = check_channel(channel)
        self.account, self.catalogue = account, catalogue
        super().__init__(**options)

    def to_python(self, value: Any) -> Any:
        """Return the number as E.164, or what an empty field has. Raises Django's `ValidationError`."""
        text = super().to_python(value)
        if text in self.empty_values:
            return text
        typed = text if isinstance(value, str) else value  # an integer as text would be a number without its zeros
        try:
            return check_typed(typed, region=self.region, channel=self.channel, account=self.account)
        except InvalidNumber as error:
            own = self.error_messages.get(error.reason)
            text = str(own) if own else _sentence(error, self.catalogue)
            raise ValidationError(text, code=error.reason) from None


def validate_phone_number(value: object) -> None:
    """Raise Django's `ValidationError` if no code can be sent to this number, with a sentence for end users.

    The number counts as one of RINGPROOF_REGION, and a text is to reach it.
    """
    try:
        check_typed(value, region=None, channel="sms", account=None)
    except InvalidNumber as error:
        raise ValidationError(_sentence(error), code=error.reason) from None


def _sentence(error: InvalidNumber, catalogue: Catalogue | None = None) -> str:
    return sentence(error, get_language() or "en", catalogue)
