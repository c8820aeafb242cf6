"""Stripe's HTTP API on one machine, for development and tests (see README.md)."""

from deploy.local.stripe_sandbox.app import build_app, serve
from deploy.local.stripe_sandbox.settings import Keys, SandboxSettings, load_keys

__all__ = ["Keys", "SandboxSettings", "build_app", "load_keys", "serve"]
