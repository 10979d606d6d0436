"""Phone numbers in models of pydantic, and so in FastAPI: `class Wish(BaseModel): phone: E164`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ringproof.errors import InvalidNumber
from ringproof.number_check import check_typed
from ringproof.phone.masking import LONGEST
from ringproof.phone.number import Channel
from ringproof.words import sentence

_TYPE: Final = "phone_number."


@dataclass(frozen=True, slots=True)
class CheckedNumber:
    """Makes a `str` of a model a phone number that can get a code, for another region or channel than those of `E164`.

        class Wish(BaseModel):
            phone: Annotated[str, CheckedNumber(region="GB", channel="auto")]

    The value is E.164, whatever the notation that was given. If `check_number` refuses it, the error's type is
    `phone_number.REASON`, and its message a sentence for end users, in `language`; `refused_number` finds it. The input
    stays in pydantic's error: show `error.errors(include_input=False)`.
    """

    region: str | None = None
    channel: Channel = "sms"
    account: str | None = None
    language: str = "en"

    def check(self, value: object) -> str:
        """Return the number as E.164. Raises pydantic's error."""
        try:
            return check_typed(value, region=self.region, channel=self.channel, account=self.account)
        except InvalidNumber as error:
            text = sentence(error, self.language)
            kind: Any = _TYPE + error.reason  # pydantic wants a literal, and has no need of one
            raise PydanticCustomError(kind, "{sentence}", {"sentence": text, "reason": error.reason}) from None

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return what pydantic checks a value with, for its own use."""
        return core_schema.no_info_plain_validator_function(
            self.check, json_schema_input_schema=core_schema.str_schema()
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return what OpenAPI says of such a field, for pydantic's use."""
        return {"type": "string", "format": "phone", "maxLength": LONGEST, "examples": ["+14155550123"]}


E164 = Annotated[str, CheckedNumber()]
"""A phone number to which a text can be sent, in any notation; the value is E.164, such as `+14155550123`."""


def refused_number(errors: Iterable[Mapping[str, Any]]) -> InvalidNumber | None:
    """Return the `InvalidNumber` that is among the errors of a model, without the number; None if there is none.

    refused_number(error.errors())  # so that a handler can answer it in the language of the request
    """
    reasons = (error["ctx"]["reason"] for error in errors if error["type"].startswith(_TYPE))
    return next((InvalidNumber(reason, "") for reason in reasons), None)
