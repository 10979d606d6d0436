"""Plivo's resource, served by the ledger."""

from starlette.routing import BaseRoute

from worker.web.site import Site


def routes(_site: Site) -> list[BaseRoute]:
    """Return the routes of Plivo's resource."""
    return []
