"""`python -m deploy.local.stripe_sandbox`: the sandbox as a process of its own."""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from deploy.local.stripe_sandbox.app import serve
from deploy.local.stripe_sandbox.settings import SandboxSettings, load_keys


def main() -> None:
    parser = argparse.ArgumentParser(prog="stripe_sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--data-dir", type=Path, default=Path("var/stripe"))
    parser.add_argument("--webhook-url", help="where webhooks are sent")
    parser.add_argument(
        "--webhook-events", default="*", help="their types, separated by commas; default: all"
    )
    parser.add_argument("--settlement-delay", type=float, default=3.0, help="in seconds")
    given = parser.parse_args()
    settings = SandboxSettings(
        data_dir=given.data_dir,
        webhook_url=given.webhook_url,
        webhook_events=tuple(given.webhook_events.split(",")),
        settlement_delay=given.settlement_delay,
    )
    keys = load_keys(settings)
    print(f"Stripe sandbox      http://{given.host}:{given.port}")
    print(f"  secret key        {keys.secret_key}")
    print(f"  publishable key   {keys.publishable_key}")
    print(f"  webhook secret    {keys.webhook_secret}", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(settings, given.host, given.port))


async def _run(settings: SandboxSettings, host: str, port: int) -> None:
    """Both ways to ask a process to stop end it cleanly."""
    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    await serve(settings, host, port)


if __name__ == "__main__":
    main()
