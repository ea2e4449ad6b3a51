"""What schemathesis does not know by itself: a body of JSON Lines is text."""

import schemathesis

schemathesis.serializer.alias(["application/x-ndjson", "application/jsonl"], "text/plain")
