"""A small client of a running stack, for the play, the tests and anybody's first script."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from services.http_log import HttpLog

PATIENCE_SECONDS = 120


class Refused(Exception):
    """The service answered with a problem."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        faults = "; ".join(f"{e['pointer']} {e['code']}" for e in problem.get("errors", ()))
        super().__init__(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} "
            f"{problem.get('code')} {problem.get('detail') or ''} {faults}".strip()
        )
        self.answer = answer
        self.problem = problem


def rest_as_asked(answer: httpx.Response) -> None:
    """Wait as long as a refusal says (``Retry-After``, RFC 9110 10.2.3); else a second."""
    time.sleep(float(answer.headers.get("Retry-After", "1")))


def asks_again(answer: httpx.Response) -> bool:
    """Whether the same request may be sent again: behind, too many, or under way elsewhere."""
    if answer.status_code in (429, 503):
        return True
    if answer.status_code != 409:
        return False
    try:
        return bool(answer.json().get("code") == "idempotency-in-progress")
    except ValueError:
        return False


class Stack:
    """What ``.liandiao/stack.json`` says: where everything is, and every client."""

    def __init__(self, file: Path, http_log: Path | None = None) -> None:
        self.description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        self.http = httpx.Client(timeout=30, trust_env=False)
        # What ``liandiao verify`` holds the services to; reads are not written down.
        self.log = HttpLog(http_log) if http_log is not None else None

    def url(self, service: str) -> str:
        """Base URL of a service."""
        return str(self.description["services"][service])

    def client(self, organisation: str) -> "Client":
        """The client of an organisation's system."""
        for entry in self.description["clients"]:
            if entry["organisations"] == [organisation]:
                return Client(self, entry)
        raise LookupError(f"no client speaks for {organisation}")

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        if self.log is not None:
            self.log.close()


class Client:
    """One organisation's system: token, requests, feed."""

    def __init__(self, stack: Stack, entry: dict[str, Any]) -> None:
        self.stack = stack
        self.entry = entry
        self.organisation: str = entry["organisations"][0]
        self.connection: str = entry["connection"]
        self._token: tuple[float, str] = (0.0, "")

    def token(self) -> str:
        """An access token, renewed in time."""
        if self._token[0] < time.time():
            answer = self.stack.http.post(
                self.stack.description["token_url"],
                data={"grant_type": "client_credentials"},
                auth=(self.entry["id"], self.entry["secret"]),
            )
            if answer.status_code != 200:
                raise Refused(answer)
            body = answer.json()
            self._token = (time.time() + body["expires_in"] * 0.8, body["access_token"])
        return self._token[1]

    def request(self, method: str, service: str, path: str, **given: Any) -> httpx.Response:
        """One request with the token; a connection that broke is tried again for two minutes."""
        more = given.pop("headers", {})
        end = time.monotonic() + PATIENCE_SECONDS
        renewed = False
        while True:
            try:
                headers = {"Authorization": f"Bearer {self.token()}", **more}
                answer = self._send(method, service, path, headers=headers, **given)
            except (httpx.TransportError, Refused) as error:
                if isinstance(error, Refused) and error.answer.status_code != 503:
                    raise
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)
                continue
            if answer.status_code == 401 and not renewed:
                # The key was withdrawn, or the clock of a test installation moved on.
                self._token, renewed = (0.0, ""), True
                continue
            if asks_again(answer) and time.monotonic() < end:
                rest_as_asked(answer)
                continue
            return answer

    def _send(self, method: str, service: str, path: str, **given: Any) -> httpx.Response:
        """One attempt, written down when it may change something."""
        request = self.stack.http.build_request(method, self.stack.url(service) + path, **given)
        log = self.stack.log if method != "GET" else None
        try:
            answer = self.stack.http.send(request)
        except httpx.TransportError as error:
            if log is not None:
                log.write(service, request, None, fault=type(error).__name__)
            raise
        if log is not None:
            log.write(service, request, answer)
        return answer

    def get(self, service: str, path: str, **params: Any) -> Any:
        """The JSON of a GET. Raises ``Refused``."""
        answer = self.request("GET", service, path, params=params)
        if answer.status_code != 200:
            raise Refused(answer)
        return answer.json()

    def post(self, service: str, path: str, body: Any = None, *, version: str | None = None) -> Any:
        """The JSON of a POST under a fresh Idempotency-Key. Raises ``Refused``."""
        headers = {"Idempotency-Key": uuid4().hex}
        if version is not None:
            headers["If-Match"] = version
        answer = self.request("POST", service, path, json=body, headers=headers)
        if answer.status_code >= 300:
            raise Refused(answer)
        return answer.json() if answer.content else None

    def act(self, path: str, body: Any, *, on: str, service: str = "mediation") -> Any:
        """A transition: reads ``on`` for its ETag first."""
        seen = self.request("GET", service, on)
        if seen.status_code != 200:
            raise Refused(seen)
        return self.post(service, path, body, version=seen.headers["ETag"])

    def feed(self, after: str = "0000000000", *, wait_seconds: int = 0) -> dict[str, Any]:
        """One page of this connection's feed."""
        page: dict[str, Any] = self.get(
            "notification",
            f"/v1/feeds/{self.connection}",
            after=after,
            limit=200,
            wait_seconds=wait_seconds,
        )
        return page

    def end_of_feed(self) -> str:
        """The number of the newest entry."""
        after = "0000000000"
        while items := self.feed(after)["items"]:
            after = items[-1]["feed_sequence"]
        return after


def waiting(seconds: float, *, every: float = 0.1) -> Iterator[None]:
    """Yield again and again until the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(every)


def wait_for(what: Callable[[], Any], *, seconds: float = 30, describe: str = "it") -> Any:
    """What ``what`` answers once it is neither false nor refused as not found."""
    last: Exception | None = None
    for _ in waiting(seconds):
        try:
            if answer := what():
                return answer
        except Refused as error:
            if error.answer.status_code not in (404, 409, 503):
                raise
            last = error
    raise TimeoutError(f"waited {seconds:.0f} s for {describe}") from last
