"""An application: a router, the filters around it, error pages, and a command line.

The service that an `App` is: error pages around the filters in the order of `use`, the first seeing a request first,
around error pages around the router. So filters see every response as it will be sent, and their own failures are
answered too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from mirage.cohttp.message import Request, Response, Service

from .errors import HttpError
from .filters import Filter, Renderer, debug_page, error_pages, plain_page
from .router import Router

__all__ = ["App"]


class App(Router):
    """A router with filters and error pages; itself a service. `errors` renders the pages of errors."""

    def __init__(self, errors: Renderer = plain_page) -> None:
        super().__init__()
        self.debug = False
        """Whether a 500 shows its traceback to the client."""
        self._errors = errors
        self._filters: list[tuple[str, Filter]] = []
        self._service: Service | None = None

    def use(self, filter: Filter, name: str | None = None) -> None:  # noqa: A002 - the name of the field
        """Put a filter inside of those that are there; `name` is for the list that the command line prints."""
        self._filters.append((name or _filter_name(filter), filter))
        self._service = None

    @property
    def middleware(self) -> list[str]:
        """The names of the filters, the outermost first."""
        return [name for name, _ in self._filters]

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """The answer to a request, through the filters."""
        if self._service is None:
            self._service = self._assembled()
        return self._service(request)

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """The application's command line; the arguments are the process's own unless given.

        Serves until SIGINT or SIGTERM and answers the exit status: ``sys.exit(app.run())``. `--help` lists the options.
        """
        from ._command import run  # an application that another program serves needs neither argparse nor signals

        return run(self, arguments)

    def _assembled(self) -> Service:
        pages = error_pages(self._page)
        service = pages(super().__call__)
        if not self._filters:
            return service
        for _, wrap in reversed(self._filters):
            service = wrap(service)
        return pages(service)

    def _page(self, request: Request, error: HttpError) -> str | bytes:
        return debug_page(request, error) if self.debug and error.__cause__ else self._errors(request, error)


def _filter_name(filter: Filter) -> str:  # noqa: A002 - the name of the field
    return getattr(filter, "__qualname__", type(filter).__qualname__).partition(".<locals>")[0]
