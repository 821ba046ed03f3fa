"""Web applications: routes that type-check, handlers, middleware.

A handler is a function from a request, and the values of its route, to a response, direct or awaited; an `App` leads
requests to handlers, wraps them in filters, turns failures into pages, and is itself a service that any HTTP server of
`mirage.cohttp` serves. `mirage.opium.testing` calls it in memory.
"""

from mirage.cohttp.message import Headers, Request, Response, Service

from .answer import html, json, no_content, redirect, set_cookie, text, with_headers
from .app import App
from .content import JSON, Fields, accepted, cookies, query, read_form, read_json
from .errors import HttpError, InvalidResponse, InvalidRoute, OpiumError, RouteConflict, RouteValueError
from .filters import (
    Filter,
    Renderer,
    access_log,
    after,
    debug_page,
    error_pages,
    plain_page,
    rescue,
    security_headers,
)
from .route import INT, REST, STR, OpenRoute, Param, Params, Rest, Route, matching, pattern, root
from .router import Handler, Router

__all__ = [
    "INT",
    "JSON",
    "REST",
    "STR",
    "App",
    "Fields",
    "Filter",
    "Handler",
    "Headers",
    "HttpError",
    "InvalidResponse",
    "InvalidRoute",
    "OpenRoute",
    "OpiumError",
    "Param",
    "Params",
    "Renderer",
    "Request",
    "Response",
    "Rest",
    "Route",
    "RouteConflict",
    "RouteValueError",
    "Router",
    "Service",
    "accepted",
    "access_log",
    "after",
    "cookies",
    "debug_page",
    "error_pages",
    "html",
    "json",
    "matching",
    "no_content",
    "pattern",
    "plain_page",
    "query",
    "read_form",
    "read_json",
    "redirect",
    "rescue",
    "root",
    "security_headers",
    "set_cookie",
    "text",
    "with_headers",
]
