"""Expressions mean what the standard library's `re` says their pattern means, and errors say where."""

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirage.re import (
    ANY,
    DIGIT,
    END,
    LETTER,
    LINE_END,
    LINE_START,
    SPACE,
    START,
    WORD,
    WORD_EDGE,
    CatastrophicPattern,
    Delim,
    InvalidPattern,
    Re,
    Text,
    again,
    ahead,
    any_of,
    atomic,
    behind,
    between,
    either,
    find_groups,
    find_matches,
    group,
    ignore_case,
    matches,
    none_of,
    not_ahead,
    not_behind,
    optional,
    quote,
    raw,
    repeated,
    sequence,
    split,
    split_delim,
    text,
)

ALPHABET = "ab-1"
texts = st.text(ALPHABET, max_size=7)

# Pairs of an expression and the same language written by hand in the syntax of `re`.
Pair = tuple[Re, str]
leaves: st.SearchStrategy[Pair] = st.one_of(
    st.text(ALPHABET + "^]\\.*+?(){}|[$ \n", min_size=1, max_size=3).map(lambda s: (text(s), re.escape(s))),
    st.sampled_from([(DIGIT, "[0-9]"), (LETTER, "[A-Za-z]"), (WORD, "[A-Za-z0-9_]"), (SPACE, r"[ \t\n\r\v\f]")]),
    st.just((ANY, r"[\s\S]")),
    st.just((any_of("a-"), "(?:a|-)")),
    st.just((none_of("a-^]"), r"(?!a|-|\^|\])[\s\S]")),
    st.just((between("a", "b"), "[a-b]")),
)


def _compose(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def counted(pair: Pair, least: int, more: int | None, shortest: bool) -> Pair:
        most = None if more is None else least + more
        mine = repeated(pair[0], least, most, shortest=shortest)
        return mine, f"(?:{pair[1]}){{{least},{'' if most is None else most}}}{'?' * shortest}"

    few = st.integers(0, 2)
    return st.one_of(
        st.tuples(children, children).map(lambda ab: (ab[0][0] + ab[1][0], f"(?:{ab[0][1]})(?:{ab[1][1]})")),
        st.tuples(children, children).map(lambda ab: (ab[0][0] | ab[1][0], f"(?:{ab[0][1]}|{ab[1][1]})")),
        children.map(lambda a: (optional(a[0]), f"(?:{a[1]})?")),
        children.map(lambda a: (ahead(a[0]), f"(?={a[1]})")),
        children.map(lambda a: (not_ahead(a[0]), f"(?!{a[1]})")),
        children.map(lambda a: (atomic(a[0]), f"(?>{a[1]})")),
        st.builds(counted, children, few, st.none() | few, st.booleans()),
    )


pairs = st.recursive(leaves, _compose, max_leaves=6)


@given(pairs, texts)
def test_composed_expressions_match_like_their_pattern_written_by_hand(pair: Pair, content: str) -> None:
    """Operators keep every part's meaning whatever surrounds it."""
    expression, by_hand = pair
    mine = expression.compile(allow_exponential=True)
    assert [m.span() for m in mine.finditer(content)] == [m.span() for m in re.finditer(by_hand, content)]


@given(st.text(), st.text())
def test_text_and_quote_match_themselves_only(content: str, other: str) -> None:
    """No character of a literal is special, in either form."""
    assert matches(text(content), content)
    assert matches(quote(content), content)
    assert matches(text(content), other) == (content == other) == matches(quote(content), other)


@given(st.text(min_size=1), st.characters())
def test_classes_hold_exactly_their_characters(chars: str, char: str) -> None:
    """`any_of` and `none_of` are each other's complement, for any characters."""
    assert matches(any_of(chars), char) == (char in chars) != matches(none_of(chars), char)


@given(st.characters(), st.characters(), st.characters())
def test_between_is_the_closed_range(one: str, other: str, char: str) -> None:
    """Both ends belong to the range."""
    low, high = sorted([one, other])
    assert matches(between(low, high), char) == (low <= char <= high)


@given(pairs, texts)
def test_split_delim_keeps_the_whole_text(pair: Pair, content: str) -> None:
    """Joined again, the pieces are the text; the delimiters are the non-empty matches."""
    pattern = pair[0].compile(allow_exponential=True)
    pieces = split_delim(pattern, content)
    assert "".join(piece.text for piece in pieces) == content
    assert [piece.text for piece in pieces if isinstance(piece, Delim)] == [
        m for m in find_matches(pattern, content) if m
    ]


@given(pairs, texts)
def test_split_agrees_with_re_split(pair: Pair, content: str) -> None:
    """Without groups `re.split` is the oracle."""
    pattern = pair[0].compile(allow_exponential=True)
    assert split(pattern, content) == pattern.split(content)


def test_split_ignores_groups() -> None:
    """A group in the delimiter does not turn up between the parts."""
    assert split(group("comma", ","), "a,b") == ["a", "b"]


def test_split_delim_names_what_is_what() -> None:
    """Text and delimiters come in order, told apart by type."""
    assert split_delim(repeated(DIGIT, 1), "ab12c") == [Text("ab"), Delim("12"), Text("c")]


def test_find_groups_leaves_out_groups_that_took_no_part() -> None:
    """Every match has its own mapping."""
    pair = group("name", repeated(WORD, 1)) + optional(text("=") + group("value", repeated(WORD, 1)))
    assert find_groups(pair, "a=1 b") == [{"name": "a", "value": "1"}, {"name": "b"}]


def test_again_matches_the_same_text_once_more() -> None:
    """A back reference compares with what the group took."""
    quoted = group("q", any_of("'\"")) + repeated(none_of("'\"")) + again("q")
    assert matches(quoted, "'a'")
    assert not matches(quoted, "'a\"")


def test_anchors_are_exact() -> None:
    """END is the very end, also before a last line feed; LINE_START and LINE_END see every line."""
    assert find_matches(START + "a" + END, "a\n") == []
    assert find_matches(LINE_START + repeated(LETTER, 1) + LINE_END, "ab\nc\n") == ["ab", "c"]
    assert find_matches(WORD_EDGE + "a", "a ba a") == ["a", "a"]


def test_behind_looks_back_without_consuming() -> None:
    """What came before decides, and is no part of the match."""
    assert find_matches(behind("$") + repeated(DIGIT, 1), "$12 34") == ["12"]
    assert find_matches(not_behind("$") + DIGIT, "$1 3") == ["3"]


def test_ignore_case_covers_its_part_only() -> None:
    """Case outside still counts."""
    assert matches(ignore_case("ab") + "c", "Abc")
    assert not matches(ignore_case("ab") + "c", "abC")


def test_strings_stand_for_literal_text_on_both_sides() -> None:
    """`+` and `|` take a string left and right."""
    assert matches("." + DIGIT, ".1")
    assert matches("*" | DIGIT, "*")
    assert matches(DIGIT | "*", "*")
    assert matches(sequence("a", either("b", "c"), "d"), "acd")


def test_expressions_are_values() -> None:
    """Equal trees are equal, hash alike, and show their pattern."""
    assert text("a") + DIGIT == text("a") + DIGIT
    assert len({text("a"), text("a")}) == 1
    assert repr(text("a.")) == r"<Re a\.>"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: repeated("a", 3, 2), "at_least=3, at_most=2"),
        (lambda: repeated("a", -1), "0 <= least"),
        (lambda: repeated("a", shortest=True, possessive=True), "either shortest or possessive"),
        (lambda: any_of(""), "at least one character"),
        (lambda: none_of(""), "at least one character"),
        (lambda: either(), "at least one part"),
        (lambda: between("b", "a"), "lower one first"),
        (lambda: between("ab", "c"), "two characters"),
        (lambda: group("1st", "a"), "identifier"),
        (lambda: again("a b"), "identifier"),
        (lambda: raw("a(b"), "unterminated subpattern, at character 1:\n  a(b\n   ^"),
        (lambda: (group("x", "a") + group("x", "b")).compile(), "redefinition of group name 'x'"),
        (lambda: again("x").compile(), "unknown group name 'x'"),
        (lambda: behind(repeated("a")).compile(), "fixed-width"),
        (lambda: matches("[a", "a"), "unterminated character set, at character 0:\n  [a\n  ^"),
    ],
)
def test_mistakes_are_explained_where_they_are(make: object, says: str) -> None:
    """Every refusal is an InvalidPattern that names the place."""
    assert callable(make)
    with pytest.raises(InvalidPattern, match=re.escape(says)):
        make()


def test_nesting_beyond_the_compiler_is_an_invalid_pattern() -> None:
    """A tree that `re` cannot compile raises the declared error, not a RecursionError."""
    with pytest.raises(InvalidPattern, match="nested or repeated"):
        raw("(?:" * 2000 + "a" + ")" * 2000)


EXPONENTIAL = [
    repeated(repeated("a")),
    repeated(repeated("a", 1), 1),
    repeated(either("a", "a")),
    repeated(either(DIGIT, WORD)),
    repeated(either("a", "aa")),
    repeated(optional(SPACE) + optional(SPACE) + "x", 1) + END,
    repeated(repeated(SPACE) + "w" + repeated(SPACE)),
    repeated(repeated("a", 1, 2)),
    repeated(repeated("a", 2, 3)),
    repeated(repeated("a", 0, 100), 0, 100),
    "x" + group("y", repeated(repeated(WORD, 1) + optional("-"))) + "z",
    atomic(repeated(repeated("a")) + "b"),
    ahead(repeated(repeated("a")) + "b") + ANY,
    repeated(repeated("a", shortest=True), shortest=True),
    repeated(repeated("a", 1, possessive=True) | "a"),
    repeated(optional(optional("a")) + "c"),
    repeated(either(optional("a"), optional("b")) + "c"),
    repeated(repeated(optional("ab"), 1) + "c"),
    repeated(optional("ab") + optional("ab") + "c"),
]
NUMBER = repeated(DIGIT, 1)
HARMLESS = [
    repeated(NUMBER + "-" + NUMBER + ";"),
    repeated("a"),
    repeated("ab") + repeated("ab"),
    repeated(repeated("a", 1) + "b"),
    repeated(repeated(LETTER, 1) + repeated(DIGIT, 1)),
    repeated("a", 3) + optional("a"),
    repeated(either("ab", "ac")),
    repeated(repeated("a", 1, possessive=True)),
    repeated(atomic(repeated("a", 1))),
    repeated(WORD, 1) + repeated("." + repeated(WORD, 1)) + "@" + repeated(WORD, 1),
    repeated(repeated(DIGIT, 3, 3) + ","),
    repeated(optional("a")),
    repeated(repeated("a", 0, 0)),
    repeated(none_of('"\\') | "\\" + ANY),
    repeated(ahead("a") + "a"),
    repeated(not_ahead("b") + ANY),
    repeated(raw("(?:a*)*")),
]


@pytest.mark.parametrize("expression", EXPONENTIAL, ids=repr)
def test_exponential_expressions_are_refused(expression: Re) -> None:
    """What could hang is refused with advice, and only on request compiled all the same."""
    with pytest.raises(CatastrophicPattern, match="exponentially many ways"):
        expression.compile()
    assert isinstance(expression.compile(allow_exponential=True), re.Pattern)


@pytest.mark.parametrize("expression", HARMLESS, ids=repr)
def test_harmless_expressions_pass_the_check(expression: Re) -> None:
    """Repetition that something delimits is not refused."""
    assert expression.compile() is expression.compile()


@given(pairs)
def test_the_check_never_fails_otherwise(pair: Pair) -> None:
    """Any tree either compiles or is refused with the declared error."""
    try:
        pair[0].compile()
    except CatastrophicPattern:
        pair[0].compile(allow_exponential=True)


# The oracle: a tree of tuples, whose ways to match are counted as a backtracking matcher would try them.
Tree = tuple[object, ...]
trees: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(st.just("text"), st.sampled_from(["a", "b"])),
    lambda inner: (
        st.tuples(st.sampled_from(["sequence", "either"]), inner, inner)
        | st.tuples(st.sampled_from(["optional", "star", "plus"]), inner)
    ),
    max_leaves=4,
)


def built(tree: Tree) -> Re:
    """The tree as an expression."""
    kind, *parts = tree
    if kind == "text":
        return text(str(parts[0]))
    made = [built(part) for part in parts]  # type: ignore[arg-type]
    if kind == "sequence":
        return sequence(*made)
    if kind == "either":
        return either(*made)
    return optional(made[0]) if kind == "optional" else repeated(made[0], kind == "plus")


def attempts(tree: Tree, content: str) -> int:
    """How many characters a backtracking matcher compares when, whatever it finds, it is told to look for another way.

    That is what a text which almost matches makes it do.
    """
    # Of a part (or, negative, of its repetition) at a start: where its ways to match end, and what finding them costs.
    known: dict[tuple[int, int], tuple[Counter[int], int]] = {}

    def loop(part: Tree, start: int) -> tuple[Counter[int], int]:
        key = (-id(part), start)
        if key not in known:
            once, cost = visit(part, start)
            ends = Counter([start])
            for end, count in once.items():
                # An iteration that consumed nothing is the last.
                more, each = loop(part, end) if end > start else (Counter([start]), 0)
                cost += count * each
                for last, others in more.items():
                    ends[last] += count * others
            known[key] = ends, cost
        return known[key]

    def visit(tree: Tree, start: int) -> tuple[Counter[int], int]:
        key = (id(tree), start)
        if key not in known:
            known[key] = computed(tree, start)
        return known[key]

    def computed(tree: Tree, start: int) -> tuple[Counter[int], int]:
        kind, *rest = tree
        if kind == "text":
            return Counter([start + 1] if content[start : start + 1] == rest[0] else []), 1
        parts: list[Tree] = rest  # type: ignore[assignment]
        if kind == "star":
            return loop(parts[0], start)
        first, cost = visit(parts[0], start)
        if kind == "optional":
            return first + Counter([start]), cost
        if kind == "either":
            second, other = visit(parts[1], start)
            return first + second, cost + other
        ends: Counter[int] = Counter()
        for end, count in first.items():
            more, each = loop(parts[0], end) if kind == "plus" else visit(parts[1], end)
            cost += count * each
            for last, others in more.items():
                ends[last] += count * others
        return ends, cost

    return visit(tree, 0)[1]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(trees)
def test_the_check_agrees_with_counting_attempts(tree: Tree) -> None:
    """Refused exactly when some repeated word of at most three characters doubles the work again and again.

    Polynomial growth of degree d multiplies it by about 2**d from one length to its double, and four leaves make d
    small. Exponential growth squares it. At most three characters lead to the repetition, for the same reason.
    """
    words = ["".join(word) for size in range(4) for word in itertools.product("ab", repeat=size)]
    exponential = any(
        attempts(tree, before + word * 20) > 100 * attempts(tree, before + word * 10)
        for before, word in itertools.product(words, words[1:])
    )
    try:
        built(tree).compile()
    except CatastrophicPattern:
        assert exponential
    else:
        assert not exponential
