"""Asks the platform API to wake a project, where a service is a process of its own, which has no way to a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx

from app.data.errors import PgrstError
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.serve.unserved import UnservedRequest

# Longer than the platform API holds a request.
ANSWER_SECONDS = 15.0


class WakeClient:
    """Waits for projects at the platform API's route for those who stand before it. base_url: of that API."""

    def __init__(self, base_url: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=ANSWER_SECONDS, trust_env=False)

    def wait_until_served(self, asked: UnservedRequest, answers: Callable[[], bool]) -> bool:
        """Return whether the project serves now, or comes to serve while it is waited for.

        Raises PgrstError as the platform API has answered, Unavailable when that is away.
        """
        if answers():
            return True
        service, project = asked.service, asked.project_id
        below = f"/project/{project}/{service}/v1" if asked.gated else f"/{service}/{project}"
        told = {
            "X-Launchdb-Edge": "yes",
            "X-Forwarded-Method": asked.method,
            "X-Forwarded-Uri": f"{below}{asked.path}",
            "User-Agent": asked.agent,
            **({"apikey": asked.key} if asked.key else {}),
            **({"Authorization": asked.authorization} if asked.authorization else {}),
        }
        try:
            answer = self._client.get("/api/edge/project", headers=told)
        except (httpx.HTTPError, UnicodeError, ValueError) as error:
            raise Unavailable("the platform API could not be asked for a project") from error
        if answer.status_code == 204:
            return True
        raise _as_said(answer)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _as_said(answer: httpx.Response) -> PgrstError:
    try:
        said = json.loads(answer.content)
        message, hint = str(said["message"]), said.get("hint")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, hint = "The project does not answer now", None
    retry_after = answer.headers.get("Retry-After")
    headers = (("Retry-After", retry_after),) if retry_after else ()
    return PgrstError("PGRST000", message, None, hint, status=answer.status_code, headers=headers)
