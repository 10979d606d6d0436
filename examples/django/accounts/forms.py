"""The form of a sign-up. It refuses a number that can get no code before anything is stored."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from accounts.models import Phone
from ringproof.django import PhoneNumberField


class SignUp(forms.ModelForm):  # type: ignore[type-arg]  # Django's class takes one for type checkers alone
    """A user's name, password and phone number."""

    phone = PhoneNumberField()

    class Meta:
        """The fields that are those of the user."""

        model = User
        fields = ("username", "password")

    def create_user(self) -> Phone:
        """Store the user with the phone number, which nobody has proved yet."""
        given: dict[str, Any] = self.cleaned_data
        user = User.objects.create_user(given["username"], password=given["password"])
        return Phone.objects.create(user=user, number=given["phone"])
