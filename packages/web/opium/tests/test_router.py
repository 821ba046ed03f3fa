"""Dispatch follows the rules at the top of `router.py`."""

import inspect
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirage.opium import (
    INT,
    REST,
    STR,
    Handler,
    InvalidRoute,
    Params,
    Request,
    Response,
    RouteConflict,
    Router,
    matching,
    pattern,
    root,
    text,
)
from mirage.opium.testing import Client, request
from mirage.re import DIGIT, LETTER, raw, repeated


def says(answer: str) -> Callable[..., Response]:
    """A handler that answers with its name and its values."""
    return lambda request, *values: text(" ".join([answer, *map(str, values)]))


@pytest.fixture
def router() -> Router:
    """One route of each kind, registered with the widest first."""
    router = Router()
    router.get(root / "p" / REST, says("rest"))
    router.get(root / "p" / STR, says("str"))
    router.get(root / "p" / INT, says("int"))
    router.get(root / "p" / "new", says("new"))
    router.post(root / "p" / INT / "edit", says("edit"))
    router.get(root, says("home"))
    router.get(root / "blog/", says("blog"))
    router.get(root / "a b" / "ü", says("quoted"))
    return router


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/", "home"),
        ("/?x", "home"),
        ("/p/new", "new"),
        ("/p/n%65w", "new"),
        ("/p/7", "int 7"),
        ("/p/07", "str 07"),
        ("/p/a%2Fb", "str a/b"),
        ("/p/a/b", "rest a/b"),
        ("/p/", "rest "),
        ("/p/7/x", "rest 7/x"),
        ("/blog/?page=2", "blog"),
        ("/a%20b/%C3%BC", "quoted"),
        ("http://host/p/7?q", "int 7"),
        ("HTTPS://host", "home"),
    ],
)
def test_the_narrowest_route_answers(router: Router, target: str, answer: str) -> None:
    """Literal before narrow param before STR before REST, whatever was registered first."""
    assert Client(router).get(target).text == answer


@pytest.mark.parametrize(
    ("target", "status"), [("/nothing", 404), ("/p/%zz", 400), ("/p/../x", 400), ("*", 400), ("ftp://x/", 400)]
)
def test_what_leads_nowhere_says_why(router: Router, target: str, status: int) -> None:
    """Unknown is 404, unreadable is 400; both say so as text."""
    answer = Client(router).get(target)
    assert answer.status == status
    assert answer.text.endswith(".\n")


def test_a_wrong_method_is_405_with_allow(router: Router) -> None:
    """RFC 9110 section 15.5.6: the answer lists the methods that the target supports."""
    answer = Client(router).post("/p/7")
    assert (answer.status, answer.headers.get("allow")) == (405, "GET, HEAD, OPTIONS")


def test_allow_gathers_every_route_of_the_path(router: Router) -> None:
    """POST /p/7/edit and GET /p/** both fit."""
    assert Client(router).put("/p/7/edit").headers.get("allow") == "GET, HEAD, OPTIONS, POST"
    assert Client(router).get("/p/7/edit").text == "rest 7/edit"


def test_options_is_answered(router: Router) -> None:
    """RFC 9110 section 9.3.7, the asterisk form as well."""
    answer = Client(router).options("/p/7")
    assert (answer.status, answer.headers.get("allow")) == (204, "GET, HEAD, OPTIONS")
    assert Client(router).options("*").status == 204


def test_head_is_served_by_get_unless_it_has_its_own(router: Router) -> None:
    """Own HEAD handlers may be registered before or after GET."""
    assert Client(router).head("/").status == 200
    assert Client(router).head("/p/7").status == 200
    for first in ("GET", "HEAD"):
        own = Router()
        for method in (first, "HEAD" if first == "GET" else "GET"):
            own.on(method, root, says(method))
        response = own(request("HEAD", "/"))
        assert isinstance(response, Response)
        assert response.body == b"HEAD"


def test_options_may_have_a_handler() -> None:
    """A registered method goes before the automatic answer."""
    router = Router()
    router.on("OPTIONS", root, says("mine"))
    assert Client(router).options("/").text == "mine"


@pytest.mark.parametrize(
    ("target", "location"),
    [("/blog", "/blog/"), ("/blog?a=/b", "/blog/?a=/b"), ("/a%20b/%C3%BC/", "/a%20b/%C3%BC"), ("/p", "/p/")],
)
def test_the_other_slash_is_redirected(router: Router, target: str, location: str) -> None:
    """308 keeps the method; the path stays as it was spelled, and the query comes along."""
    for method in ("GET", "POST"):
        answer = Client(router).send(request(method, target))
        assert answer.status == 308
        assert urljoin(target, answer.headers.get("location") or "") == location


def test_redirects_know_of_the_prefix() -> None:
    """The other slash is found below the prefix under which a router is mounted, not at the site's root."""
    inner, outer = Router(), Router()
    inner.get(root / "leaf", says("leaf"))
    inner.get(root / "branch" / "", says("branch"))
    outer.mount(root / "api" / "v1", inner)
    client = Client(outer)
    for asked, meant in (("/api/v1/leaf/?q", "/api/v1/leaf?q"), ("/api/v1/branch", "/api/v1/branch/")):
        assert urljoin(asked, client.get(asked).headers.get("location") or "") == meant


@given(st.text("/\\ab.%2fF5cC", max_size=12))
def test_no_redirect_leaves_the_site(path: str) -> None:
    """A Location that begins with a dot names no host; one with two slashes, or slash and backslash, would."""
    router = Router()
    router.get(root / STR / "", says("x"))
    router.get(root / STR / STR, says("x"))
    router.mount(root / "a", says("x"))
    location = Client(router).get("/" + path).headers.get("location") or "./ok"
    assert location.startswith(("./", "../"))


def test_a_direct_answer_stays_direct() -> None:
    """No task and no coroutine for a handler that is a plain function; a coroutine comes back as it is."""
    router = Router()
    router.get(root, lambda request: text("now"))

    @router.get(root / "later" / INT)
    async def later(request: Request, number: int) -> Response:
        return text(str(number))

    assert isinstance(router(request("GET", "/")), Response)
    pending = router(request("GET", "/later/5"))
    assert inspect.iscoroutine(pending)
    pending.close()
    assert Client(router).get("/later/5").text == "5"


def test_pattern_handlers_get_params() -> None:
    """One argument holds all the texts, for static patterns too."""
    router = Router()
    router.get(pattern("/hello/:name"), lambda request, params: text(params["name"]))
    router.get(pattern("/plain"), lambda request, params: text(str(params == Params())))
    assert Client(router).get("/hello/Ann").text == "Ann"
    assert Client(router).get("/plain").text == "True"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (root, root),
        (root / "a" / STR, root / "a" / STR.named("other")),
        (root / "a" / STR, pattern("/a/:x")),
        (root / REST, pattern("/**")),
        (root / INT / "x", root / matching(repeated(DIGIT, 1)) / "y"),
        (root / matching(repeated(DIGIT, 1)), root / matching(repeated(LETTER, 1))),
    ],
)
def test_conflicts_are_reported_when_registered(one: object, other: object) -> None:
    """The same path twice, or two narrow params that cannot be told apart."""
    router = Router()
    handler: Handler[()] = says("x")
    router.get(one, handler)  # type: ignore[arg-type]
    with pytest.raises(RouteConflict, match=r"same path|one text fits both"):
        router.get(other, handler)  # type: ignore[arg-type]


def test_equal_narrow_params_share_their_place() -> None:
    """The same expression written twice is the same kind."""
    router = Router()
    router.get(root / matching(repeated(DIGIT, 2, 2)) / "a", says("a"))
    router.get(root / matching(repeated(DIGIT, 2, 2)) / "b", says("b"))
    assert Client(router).get("/12/b").text == "b 12"


def test_methods_are_upper_case_words() -> None:
    """Methods are case-sensitive (RFC 9110 section 9.1): "get" would never be asked for."""
    with pytest.raises(InvalidRoute, match="'get' is not a method"):
        Router().on("get", root, says("x"))


def target(request: Request) -> Response:
    """Shows what a mounted service sees."""
    return text(f"{request.method} {request.target}")


def test_mounted_services_see_their_own_root() -> None:
    """The longest prefix wins, the spelling of the rest is kept, and routes go first."""
    router = Router()
    router.mount(root, says("outer"))
    router.mount(root / "static", target)
    router.get(root / "static" / "own", says("own"))
    client = Client(router)
    assert client.get("/static/a%2Fb//c?q=1").text == "GET /a%2Fb//c?q=1"
    assert client.put("/static/").text == "PUT /"
    assert client.get("/static/own").text == "own"
    assert client.post("/static/own").status == 405
    assert client.get("/elsewhere").text == "outer"
    assert client.get("/static?x").headers.get("location") == "./static/?x"


@given(st.text("/ab%2eE.?", max_size=8))
def test_a_service_at_the_root_gets_what_no_route_takes(path: str) -> None:
    """The short way to it gives what the walk gives, which a route with a param at the root enforces."""
    short, long = Router(), Router()
    for router in (short, long):
        router.get(root / "a" / "", says("route"))
        router.get(root / "a" / "b" / STR, says("route"))
        router.mount(root, target)
        router.mount(root / "b", target)
    long.get(root / matching(raw("never")) / "x", says("never"))
    one, other = Client(short).get("/" + path), Client(long).get("/" + path)
    assert (one.status, one.body, one.headers) == (other.status, other.body, other.headers)


def test_mounting_twice_or_below_params_is_refused() -> None:
    """A prefix has one service."""
    router = Router()
    router.mount(root / "a", target)
    with pytest.raises(RouteConflict, match="two services are mounted at /a"):
        router.mount(root / "a", target)
    with pytest.raises(InvalidRoute, match="literal segments"):
        router.mount(root / "a/", target)


def test_routes_are_listed_in_order(router: Router) -> None:
    """Method, route and handler of each."""
    router.mount(root / "s", target)
    assert router.routes[0][:2] == ("GET", "/p/**rest")
    assert router.routes[-1] == ("*", "/s/**", "target")


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", STR, INT]), max_size=4), max_size=8),
    st.lists(st.sampled_from(["a", "b", "c", "1"]), max_size=4),
)
def test_the_tree_agrees_with_trying_every_route(shapes: list[list[object]], path: list[str]) -> None:
    """Some route answers exactly when some route matches, and it is one that does."""
    router = Router()
    routes = []
    for number, shape in enumerate(shapes):
        route = root
        for part in shape:
            route = route / part  # type: ignore[operator]
        try:
            router.get(route, says(str(number)))
        except RouteConflict:
            continue
        routes.append((number, route))
    url = "/" + "/".join(path)
    answer = Client(router).get(url)
    fitting = {str(number) for number, route in routes if route.match(url) is not None}
    if fitting:
        assert answer.text.split()[0] in fitting
    else:
        assert answer.status == 404
