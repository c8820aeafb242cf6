"""Comparing what Stripe says with what we think."""
