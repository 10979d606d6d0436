"""Which user has which phone number, and whether the user has proved it."""

from django.conf import settings
from django.db import models

from ringproof.django import validate_phone_number


class Phone(models.Model):
    """A user's phone number. `request` is the id of the last request for a code; it is the user's own if `is_own`.

    Several users may type the same number. Only the one who enters the code has `verified_at`.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="phone")
    number = models.CharField(max_length=16, validators=[validate_phone_number])
    request = models.CharField(max_length=80, blank=True)
    is_own = models.BooleanField(default=False)
    verified_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """Return a text without the number: Django's logs and pages show it."""
        return f"phone {self.pk}"
