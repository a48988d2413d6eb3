"""The check `hub`: does the hub, or the mirror that HF_ENDPOINT names, reply, and does it take the token?"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

from degen.errors import one_line

from .check import CheckResult

SECONDS = 5.0  # for a reply; a name that is looked up in vain may take longer than any time limit of the client
LOCAL_WORKS = "checkpoints on this machine can be scanned without it"


def check_hub() -> CheckResult:
    """Return whether the hub replies, with one request; a hub that does not is a warning, for local series need none.

    With HF_HUB_OFFLINE it is not asked.
    """
    from huggingface_hub import constants, get_token

    endpoint = without_credentials(constants.ENDPOINT)
    facts: dict[str, Any] = {"endpoint": endpoint, "offline": bool(constants.HF_HUB_OFFLINE)}
    facts["token"] = has_token = get_token() is not None
    if constants.HF_HUB_OFFLINE:
        finding = f"{endpoint} is not asked, as HF_HUB_OFFLINE is set; what is in the cache can be scanned"
        return CheckResult("hub", "ok", finding, facts=facts)
    reply = _ask_in_time()
    facts["status"] = reply if isinstance(reply, int) else None
    if isinstance(reply, str):
        advice = f"check the network, HF_ENDPOINT and the proxy; {LOCAL_WORKS}"
        return CheckResult("hub", "warning", f"{endpoint} does not reply ({reply})", advice, facts)
    if reply in (401, 403) and has_token:
        advice = "log in anew with `hf auth login`, or set HF_TOKEN anew; public models need no token"
        return CheckResult("hub", "warning", f"{endpoint} replies, and refuses the token ({reply})", advice, facts)
    if reply >= 500 or reply == 429:
        return CheckResult("hub", "warning", f"{endpoint} replies with status {reply}", "try again later", facts)
    token = "takes the token" if has_token and reply == 200 else "a token is set" if has_token else "no token is set"
    return CheckResult("hub", "ok", f"{endpoint} replies; {token}", facts=facts)


def without_credentials(url: str) -> str:
    """Return an address without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _ask_in_time() -> int | str:
    """Return the status of the hub's reply, or why there is none, within some seconds."""
    reply: list[int | str] = []
    thread = threading.Thread(target=lambda: reply.append(_ask()), daemon=True)
    thread.start()
    thread.join(SECONDS + 1)
    return reply[0] if reply else f"nothing within {SECONDS:.0f} s"


def _ask() -> int | str:
    """Return the status of the reply to one request, of who the token belongs to; a text where there is none."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers

    try:
        url = f"{constants.ENDPOINT}/api/whoami-v2"
        return int(get_session().get(url, headers=build_hf_headers(), timeout=SECONDS).status_code)
    except Exception as error:
        return one_line(error, 150)
