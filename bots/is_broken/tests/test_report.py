"""One finding is one issue, whatever happens between: told once, edited, commented on change, reopened, closed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import github3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bots.is_broken import wording
from bots.is_broken.github_channel import LABEL, GitHubChannel
from bots.is_broken.model import Change, ChangeKind, Night, Outcome, Report, State
from bots.is_broken.report import Event, Summary, Verdict, report, step, verdict
from bots.is_broken.testing.fake_github import FakeGitHub, Fault

from .sample import CHANGE, EPOCH, FAILURE, JOB, Finding, after, bad, finding, good

REPOSITORY = "mirage/mirage"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    """The time of the fake and of the bot."""
    return Time()


@pytest.fixture
def github(time: Time) -> Iterator[FakeGitHub]:
    """The fake."""
    with FakeGitHub(REPOSITORY, time.clock) as fake:
        yield fake


def channel(github: FakeGitHub, time: Time, patience: float = 7200.0) -> GitHubChannel:
    """A channel to it, by the real github3.py. It gives up early only on what is late on purpose."""
    seconds = 0.3 if any(fault.kind == "late" for fault in github.faults) else 30
    session = github3.session.GitHubSession(default_connect_timeout=30, default_read_timeout=seconds)
    client = github3.GitHubEnterprise(github.url, token=github.token, session=session)
    return GitHubChannel(client, REPOSITORY, time.clock, time.sleep, patience=patience)


class Nights:
    """The bot's reporting, night after night."""

    def __init__(self, github: FakeGitHub, time: Time) -> None:
        self.github, self.time = github, time
        self.state = State()
        self.saved = self.state
        self.number = -1

    def save(self, state: State) -> None:
        self.saved = state

    def night(self, make: Callable[[int], Night], *found: Finding, cap: int = 5, patience: float = 7200.0) -> Summary:
        """One more night."""
        self.number += 1
        self.time.now = max(self.time.now, EPOCH + self.number * 86400)
        night = make(self.number)
        self.state = after(self.state, night, *found)
        return self.again(night, cap, patience)

    def again(self, night: Night, cap: int = 5, patience: float = 7200.0) -> Summary:
        """Report a night, anew or for the first time."""
        said = channel(self.github, self.time, patience)
        self.state, summary = report(self.state, night, [said], self.save, cap=cap)
        assert self.state == self.saved or not summary.events
        return summary

    def bad(self, *found: Finding, cap: int = 5, patience: float = 7200.0) -> Summary:
        """One in which these are broken."""
        return self.night(lambda number: bad(number, *found), *found, cap=cap, patience=patience)

    def good(self) -> Summary:
        """One in which all is well."""
        return self.night(good)


@pytest.fixture
def nights(github: FakeGitHub, time: Time) -> Nights:
    """A bot that has never run."""
    return Nights(github, time)


def writes(github: FakeGitHub) -> list[str]:
    """What was asked to be changed, in order."""
    return [f"{call.method} {call.route}" for call in github.calls if call.method != "GET" and call.status < 300]


def events(summary: Summary) -> list[Event]:
    """What was said."""
    return [event for _, _, event in summary.events]


@pytest.mark.slow
def test_the_life_of_an_issue(github: FakeGitHub, nights: Nights) -> None:
    """Opened, edited in silence, closed after two good nights with the reason, reopened when it is back."""
    broken = finding()
    assert events(nights.bad(broken)) == [Event.OPENED]
    (issue,) = github.issues
    assert issue.title == "leftpad 2.0 breaks the build: ImportError: cannot import name 'pad'"
    assert issue.labels == [LABEL]
    assert issue.body.startswith(f"<!-- is-broken {broken.key} -->\n")
    for part in ("`leftpad 2.0` (it was `1.9`)", broken.explanation.reproduce, '[hold.leftpad]\nspec = "<2.0"',
                 "ImportError: cannot import name 'pad'", "<https://leftpad.example/changes>", "7 probes"):  # fmt: skip
        assert part in issue.body

    assert events(nights.bad(finding(night=1))) == [Event.SEEN]
    assert "last on 26 November 2026, 03:00 UTC; 2 nights so far" in issue.body
    assert not issue.comments

    assert events(nights.good()) == []
    assert issue.state == "open"
    assert events(nights.good()) == [Event.CLOSED]
    assert issue.state == "closed"
    assert "Mended: `leftpad 1.9` is taken instead of `2.0`." in issue.comments[0].body
    assert "good for 2 nights in a row" in issue.comments[0].body
    assert "> Mended:" in issue.body
    assert nights.state.findings == {}
    count = len(github.calls)
    assert events(nights.good()) == []
    assert len(github.calls) == count, "what is closed costs nothing"

    assert events(nights.bad(finding(night=5))) == [Event.REOPENED]
    assert issue.state == "open"
    assert "It is back since 30 November 2026" in issue.comments[1].body
    assert len(github.issues) == 1
    assert not any("search" in call.route for call in github.calls)


@pytest.mark.slow
def test_a_comment_only_on_change(github: FakeGitHub, nights: Nights) -> None:
    """Another job that breaks is told in a comment; other output, differences and probes are not."""
    nights.bad(finding())
    other = replace(finding(night=1), jobs=(JOB.key, "newest-website-hvt-3.11"))
    assert events(nights.bad(other)) == [Event.CHANGED]
    (comment,) = github.issues[0].comments
    assert "It breaks `newest-website-hvt-3.11` too now." in comment.body
    failure = replace(FAILURE, excerpt="other words")
    explanation = replace(other.explanation, failure=failure, difference=("leftpad 1.9 -> 2.0", "third 1 -> 7"))
    silent = replace(other, explanation=explanation, culprits=replace(other.culprits, probes=1))
    assert events(nights.bad(silent)) == [Event.SEEN]
    assert "third 1 -> 7" in github.issues[0].body
    assert len(github.issues[0].comments) == 1


@pytest.mark.slow
def test_a_good_night_in_between_counts_anew(github: FakeGitHub, nights: Nights) -> None:
    """Two good nights have to follow each other."""
    nights.bad(finding())
    nights.good()
    nights.bad(finding(night=2))
    assert events(nights.good()) == []
    assert events(nights.good()) == [Event.CLOSED]


@pytest.mark.slow
def test_a_night_that_cannot_tell_counts_for_nothing(github: FakeGitHub, nights: Nights) -> None:
    """Infrastructure, or another failure of the same job, closes no issue."""
    nights.bad(finding())
    nights.good()
    lost = bad(2, finding(), outcome=Outcome.INFRASTRUCTURE)
    nights.night(lambda number: replace(lost, findings=()))
    assert events(nights.good()) == [Event.CLOSED]


@pytest.mark.slow
def test_the_nightly_cap(github: FakeGitHub, nights: Nights) -> None:
    """What is beyond the cap waits for the next night, and is opened then."""
    found = [finding(replace(CHANGE, name=f"p{n}")) for n in range(5)]
    first = nights.bad(*found, cap=2)
    assert (first.count(Event.OPENED), len(first.capped)) == (2, 3)
    assert nights.again(nights.state.nights[-1], cap=2).count(Event.OPENED) == 0, "the same night has had its share"
    second = nights.bad(*found, cap=2)
    assert (second.count(Event.OPENED), second.count(Event.SEEN), len(second.capped)) == (2, 2, 1)
    nights.bad(*found, cap=2)
    assert len(github.issues) == 5


@pytest.mark.slow
def test_one_shared_issue_for_infrastructure(github: FakeGitHub, nights: Nights) -> None:
    """Whatever trouble the machines have, it is one issue, opened again and again."""
    trouble = replace(
        finding(night=0),
        key="infrastructure",
        outcome=Outcome.INFRASTRUCTURE,
        culprits=replace(finding().culprits, changes=()),
    )
    nights.bad(trouble)
    assert github.issues[0].title == "The nightly run itself is in trouble"
    assert "nobody upstream is to blame" in github.issues[0].body
    nights.good()
    assert events(nights.good()) == [Event.CLOSED]
    assert "The control is good again." in github.issues[0].comments[-1].body
    nights.bad(replace(trouble, jobs=("control-website-unix-3.12",)))
    assert len(github.issues) == 1
    assert github.issues[0].state == "open"


@pytest.mark.slow
def test_people_have_the_last_word(github: FakeGitHub, nights: Nights) -> None:
    """An issue that a person closed stays closed for as long as the same break goes on."""
    nights.bad(finding())
    github.issues[0].state = "closed"
    assert events(nights.bad(finding(night=1))) == [Event.SEEN]
    nights.bad(replace(finding(night=2), jobs=(JOB.key, "x")))
    assert github.issues[0].state == "closed"
    assert "2 nights" in github.issues[0].body or "3 nights" in github.issues[0].body
    nights.good()
    nights.good()
    nights.bad(finding(night=5))
    assert github.issues[0].state == "open", "after it was good it is news again"


@pytest.mark.slow
def test_found_again_by_mark_and_label(github: FakeGitHub, nights: Nights) -> None:
    """Without any state the issue is found among others: not by a quotation of its mark, not a pull request's."""
    broken = finding()
    quoting = f"Somebody wrote:\n{wording.mark(broken.key)}"
    github.open_by_hand("quotation", quoting, [LABEL])
    github.open_by_hand("pull request", wording.mark(broken.key), [LABEL], pull_request=True)
    github.open_by_hand("no label", wording.mark(broken.key), [])
    for number in range(150):
        github.open_by_hand(f"other {number}", wording.mark(f"{number:012x}"), [LABEL])
    nights.bad(broken)
    assert len(github.issues) == 154
    nights.state = State()
    assert events(nights.bad(finding(night=1))) == [Event.OPENED]
    assert len(github.issues) == 154, "it is on the second page of the list"
    assert not github.issues[-1].comments
    lists = [call for call in github.calls if call.route == "/repos/O/R/issues" and call.method == "GET"]
    assert len(lists) == 4, "two pages a night"


@pytest.mark.slow
def test_a_label_that_was_taken_off(github: FakeGitHub, nights: Nights) -> None:
    """The number in the state leads to the issue all the same."""
    nights.bad(finding())
    github.issues[0].labels.clear()
    assert events(nights.bad(finding(night=1))) == [Event.SEEN]
    assert len(github.issues) == 1


@pytest.mark.slow
def test_a_token_that_may_not_label(time: Time) -> None:
    """Nothing is opened that could not be found again, and the message says what to do."""
    with FakeGitHub(REPOSITORY, time.clock, may_label=False) as github:
        summary = Nights(github, time).bad(finding())
        assert not github.issues
        assert "may not set labels" in summary.failed[0]


@pytest.mark.slow
def test_a_bad_token(github: FakeGitHub, nights: Nights) -> None:
    """No retry: a person has to act."""
    said = channel(github, nights.time)
    github.token = "another"
    night = bad(0, finding())
    _, summary = report(after(State(), night, finding()), night, [said], nights.save)
    assert summary.failed == ["github: GitHub does not know the token; make a new one"]
    assert [call.status for call in github.calls] == [401]


FAULTS = [
    Fault("status", status=500),
    Fault("status", status=502),
    Fault("status", status=503),
    Fault("lost-before"),
    Fault("lost-after"),
    Fault("late", until=0.5),
    Fault("secondary", until=60),
    Fault("limited", until=EPOCH + 1800),
]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_bad_days(github: FakeGitHub, nights: Nights, time: Time, fault: Fault, method: str) -> None:
    """Each is waited out, in one night, and leaves one issue; a limit is waited for as long as it says."""
    github.faults = [replace(fault, method=method)]
    assert events(nights.bad(finding())) == [Event.OPENED]
    assert not github.faults
    assert len(github.issues) == 1
    assert time.slept
    if fault.kind == "limited":
        assert EPOCH + 1800 <= time.now <= EPOCH + 1802
    if fault.kind == "secondary":
        assert time.slept == [61.0]


@pytest.mark.slow
def test_an_outage_ends_the_night_and_not_the_report(github: FakeGitHub, nights: Nights, time: Time) -> None:
    """When patience is at its end the rest is left to the next night, and said."""
    github.faults = [Fault("status", status=503) for _ in range(50)]
    summary = nights.bad(finding(), patience=600)
    assert sum(time.slept) <= 600
    assert "patience" in summary.failed[0]
    assert nights.state.reports[finding().key]["github"].pending == f"opened {nights.state.nights[-1].name}"
    github.faults = []
    assert events(nights.again(nights.state.nights[-1])) == [Event.OPENED], "the same night is resumed"
    assert events(nights.again(nights.state.nights[-1])) == []
    assert len(github.issues) == 1


class Crash(BaseException):
    """The bot is killed."""


def story() -> list[tuple[Callable[[int], Night], tuple[Finding, ...]]]:
    """Nights in which an issue is opened, changed, closed and reopened, beside another."""
    one = finding()
    two = finding(replace(CHANGE, name="other"), jobs=(JOB.key, "second"))
    more = replace(one, jobs=(JOB.key, "newest-website-hvt-3.11"))
    rows: list[tuple[Finding, ...]] = [(one,), (more, two), (), (), (one,)]
    return [((lambda number, row=row: bad(number, *row) if row else good(number)), row) for row in rows]


def told(github: FakeGitHub) -> list[tuple[str, str, str, list[str]]]:
    """What a reader of the repository sees."""
    return [(i.title, i.state, i.body, [c.body for c in i.comments]) for i in github.issues]


def play(crash: Callable[[int], str]) -> tuple[list[tuple[str, str, str, list[str]]], int]:
    """Play the story; at each save and each request `crash` may say ``before`` or ``after``; what is seen, how many."""
    time, count = Time(), itertools.count()
    with FakeGitHub(REPOSITORY, time.clock) as github:
        state = State()
        for number, (make, found) in enumerate(story()):
            time.now = EPOCH + number * 86400
            night = make(number)
            kept = [after(state, night, *found)]

            def save(new: State, kept: list[State] = kept) -> None:
                when = crash(next(count))
                if when == "before":
                    raise Crash
                kept[0] = new
                if when == "after":
                    raise Crash

            while True:
                said = channel(github, time)
                client = said._client.session
                ask = client.request

                def request(*words: object, ask: Callable[..., object] = ask, **more: object) -> object:
                    when = crash(next(count))
                    if when == "before":
                        raise Crash
                    answer = ask(*words, **more)
                    if when == "after":
                        raise Crash
                    return answer

                client.request = request
                try:
                    state, summary = report(kept[0], night, [said], save)
                except Crash:
                    continue
                assert not summary.failed
                break
        return told(github), next(count)


@pytest.mark.slow
def test_a_crash_at_any_point() -> None:
    """Killed before or after any save and any request, the bot goes on: readers see what they would have seen."""
    expected, points = play(lambda point: "")
    assert [state for _, state, _, _ in expected] == ["open", "closed"]
    assert [len(comments) for *_, comments in expected] == [3, 1]
    for point in range(points):
        for when in ("before", "after"):
            seen, _ = play(lambda here, point=point, when=when: when if here == point else "")
            assert seen == expected, f"killed {when} point {point}"


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(0, 120), max_size=12), st.randoms(use_true_random=False))
def test_many_crashes(points: set[int], random: object) -> None:
    """The same for any number of them."""
    expected, _ = play(lambda point: "")
    seen, _ = play(lambda here: ("before" if here % 2 else "after") if here in points else "")
    assert seen == expected


def test_step_is_idempotent_and_honest() -> None:
    """A night that is settled has nothing to say again; UNKNOWN never changes anything."""
    new, event = step(Report("c"), Verdict.BROKEN, "a", "n1", 2)
    assert (event, new.open, new.opened) == (Event.OPENED, True, "n1")
    assert step(new, Verdict.BROKEN, "a", "n1", 2) == (new, Event.NOTHING)
    assert step(new, Verdict.UNKNOWN, "a", "n2", 2) == (new, Event.NOTHING)
    once, event = step(new, Verdict.GONE, "a", "n2", 2)
    assert (event, once.good_nights) == (Event.NOTHING, 1)
    assert step(once, Verdict.GONE, "a", "n2", 2) == (once, Event.NOTHING)
    closed, event = step(once, Verdict.GONE, "a", "n3", 2)
    assert (event, closed.open) == (Event.CLOSED, False)
    assert step(closed, Verdict.GONE, "a", "n4", 2) == (closed, Event.NOTHING)
    assert step(Report("c"), Verdict.GONE, "a", "n1", 2) == (Report("c"), Event.NOTHING), "never told, never closed"


def test_verdicts() -> None:
    """Passing jobs clear a finding; what did not run, or failed otherwise, does not."""
    broken = finding()
    assert verdict(broken, bad(0, broken)) is Verdict.BROKEN
    assert verdict(broken, good(1)) is Verdict.GONE
    assert verdict(broken, replace(good(1), results=())) is Verdict.UNKNOWN
    assert verdict(broken, replace(bad(1, broken), findings=())) is Verdict.UNKNOWN


def test_why_it_is_gone() -> None:
    """The reason comes from the locks and revisions, and claims no more than they tell."""
    state = after(after(State(), bad(0, finding()), finding()), good(1))
    assert wording.mended(finding(), state, good(1)) == "Mended: `leftpad 1.9` is taken instead of `2.0`."
    from .sample import NEW

    ours = good(1, NEW, "b" * 40)
    assert wording.mended(finding(), state, ours) == "Mended on our side, between `aaaaaaaaaaaa` and `bbbbbbbbbbbb`."
    assert wording.mended(finding(), state, good(1, NEW)) == "It is good again with the same releases."
    head = finding(Change(ChangeKind.HEAD, "x", "1", "2"))
    assert wording.mended(head, state, good(1, NEW)) == "It is good again with the same releases."
