from fakes import context, reviews, task  # noqa: F401
