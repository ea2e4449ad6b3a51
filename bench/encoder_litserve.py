"""The encoder in LitServe: `python encoder_litserve.py KIND FOLDER PORT THREADS`.

One worker takes up to 64 requests that come within 10 ms.

KIND: `plain` (transformers, with padding; FOLDER: the weights) or `package` (FOLDER: a package of ours).
"""

import sys
from typing import Any

import litserve
from encoder_peers import BATCH, ROUTE, Packaged, Plain

WAIT_SECONDS = 0.01


class Api(litserve.LitAPI):  # type: ignore[misc]  # untyped
    """A text a request, batched. At the top of its module: workers import it by name."""

    def setup(self, device: str) -> None:
        """Opens the model in the worker."""
        kind, folder, _, threads = sys.argv[1:]
        self.model = (Packaged if kind == "package" else Plain)(folder, int(threads))

    def decode_request(self, request: dict[str, list[str]]) -> str:
        """The request's text."""
        return request["inputs"][0]

    def batch(self, inputs: list[str]) -> list[str]:
        """As they come; also for one."""
        return list(inputs)

    def predict(self, inputs: list[str]) -> list[Any]:
        """Answers to a batch."""
        return self.model(inputs)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """An answer a request."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer's object."""
        return {"outputs": [output]}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS, api_path=ROUTE)
    server = litserve.LitServer(api, accelerator="cpu", timeout=False)
    server.run(port=int(sys.argv[3]), log_level="warning", generate_client_file=False, num_api_servers=1)
