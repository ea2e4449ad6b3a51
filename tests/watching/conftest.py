from tests.serving.conftest import empty, ledger, make  # noqa: F401  fixtures of the service
