"""What browsers need to be told."""

from gateway.settings import Settings
from tests.unit.gateway.support import World, assert_problem, world

_PREFLIGHT = {
    "Origin": "https://shop.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,idempotency-key",
}


async def test_a_storefront_on_another_origin_may_call(gateway: World) -> None:
    answer = await gateway.client.options("/v1/holds", headers=_PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"]
    assert {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
    } <= set(allowed.split(", "))
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_script_may_read_answers_and_problems(gateway: World) -> None:
    for path in ("/v1/events", "/v1/users/me", "/nowhere"):
        answer = await gateway.client.get(path, headers={"Origin": "https://shop.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "ETag" in answer.headers["access-control-expose-headers"]


async def test_a_list_of_origins_keeps_others_out() -> None:
    settings = Settings(cors_origins=("https://shop.example",))
    async with world(settings) as gateway:
        mine = await gateway.client.options("/v1/holds", headers=_PREFLIGHT)
        assert mine.headers["access-control-allow-origin"] == "https://shop.example"
        assert mine.headers["vary"] == "Origin"
        others = {**_PREFLIGHT, "Origin": "https://evil.example"}
        theirs = await gateway.client.options("/v1/holds", headers=others)
        assert "access-control-allow-origin" not in theirs.headers


async def test_what_somebody_keeps_for_one_page_is_right_for_all_others() -> None:
    async with world() as gateway:
        for headers in ({}, {"Origin": "https://shop.example"}):
            answer = await gateway.client.get("/v1/events", headers=headers)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "Origin" not in answer.headers["vary"]
    async with world(Settings(cors_origins=("https://shop.example",))) as gateway:
        for headers in ({}, {"Origin": "https://shop.example"}):
            answer = await gateway.client.get("/v1/events", headers=headers)
            assert "Origin" in answer.headers["vary"].split(", ")
            assert answer.headers.get("access-control-allow-origin") == headers.get("Origin")


async def test_nothing_is_guessed_framed_or_kept(gateway: World) -> None:
    for path in ("/v1/holds/hold_1", "/nowhere", "/healthz"):
        headers = (await gateway.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_options_is_for_browsers(gateway: World) -> None:
    assert_problem(await gateway.client.options("/v1/events"), 405, "METHOD_NOT_ALLOWED")
