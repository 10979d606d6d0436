"""The site's paths. None has a phone number: web servers write paths into their logs."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("", views.page),
    path("sign-up", views.sign_up),
    path("phone", views.send_code),
    path("phone/state", views.state),
    path("phone/code", views.confirm),
]
