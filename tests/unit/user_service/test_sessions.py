"""What becomes of a session whose refresh token is presented, and when an address is locked."""

import pytest

from user_service.sessions.domain import (
    FAILURES_ALLOWED,
    RefreshToken,
    Verdict,
    digest,
    is_locked,
    judge,
)


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        (None, Verdict.STAYS),
        (RefreshToken("ses_1", used=False, expired=False), Verdict.GOES_ON),
        (RefreshToken("ses_1", used=False, expired=True), Verdict.STAYS),
        (RefreshToken("ses_1", used=True, expired=False), Verdict.ENDS),
        (RefreshToken("ses_1", used=True, expired=True), Verdict.ENDS),
    ],
)
def test_only_a_fresh_token_carries_a_session_on(
    token: RefreshToken | None, verdict: Verdict
) -> None:
    assert judge(token) is verdict


def test_an_address_is_locked_by_the_last_failure_allowed() -> None:
    assert not is_locked(FAILURES_ALLOWED - 1)
    assert is_locked(FAILURES_ALLOWED)


def test_a_kept_token_does_not_tell_the_token() -> None:
    assert len(digest("a token")) == 32
    assert b"token" not in digest("a token")
