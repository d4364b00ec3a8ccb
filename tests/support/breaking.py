"""The variables of tests.support.breaking_app, whose import would change this process too."""

BREAKS = "BREAKING_APP_BREAKS"
SENTRY = "BREAKING_APP_SENTRY_DSN"
SPANS = "BREAKING_APP_SPANS"
