"""Whether a Ray cluster answers at an address, told within seconds, where Ray itself would try for minutes."""

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

SECONDS = 8.0  # that an address may take to answer
LOCAL, AUTO, CLIENT = "local", "auto", "ray://"
LIKE = "like 10.0.0.1:6379, the port of a cluster's head node, or auto"  # what an address looks like
DASHBOARDS = "a dashboard's is for fpt submit"
NO_HEAD = f"is a server, but no head node of Ray's: that is {LIKE}; {DASHBOARDS}"
TOKEN = "set RAY_AUTH_TOKEN, or copy ~/.ray/auth_token from the head node"


@dataclass(frozen=True)
class Answer:
    """An answer says how a head node took a question: `said` is what is wrong with it, None where it is right;
    `versions` are those of Ray and Python there, where it tells them. `silent` is a head that may still be there.
    """

    said: str | None = None
    versions: tuple[str, str] | None = None
    silent: bool = False


def address_of(given: str | None) -> str | None:
    """Returns the address that is meant, given or from RAY_ADDRESS; None for Ray on this machine."""
    address = given or os.environ.get("RAY_ADDRESS") or LOCAL
    return None if address == LOCAL else address


def check_ray(given: str | None) -> None:
    """Raises ValueError, within seconds, where there is no cluster at the address that is meant, where it does not let
    us in, and where it runs another Ray or Python. Does nothing for Ray on this machine.
    """
    address = address_of(given)
    if address is None:
        return
    where = "--address" if given else "RAY_ADDRESS"
    answer = ask(_head_of(address, where))
    if address.startswith(CLIENT) and answer.said == NO_HEAD:  # it answers; Ray's client asks for the versions
        return
    if answer.said is not None:
        way_on = "" if given else "; where it is not set, Ray starts on this machine"
        raise ValueError(f"{where} must be that of a Ray cluster that answers but {address!r} {answer.said}{way_on}")
    if answer.versions is not None and (said := differing(answer.versions)):
        raise ValueError(f"{where} must be that of a cluster with the same versions as here but {address!r} {said}")


def differing(versions: tuple[str, str]) -> str | None:
    """Returns in words how a cluster's versions of Ray and Python differ from those here, None where they do not."""
    ours = versions_here()
    level = os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch")
    digits = 2 if level == "minor" else 3
    told = [
        f"has {name} {theirs}, and here is {own}"
        for name, theirs, own, parts in zip(("Ray", "Python"), versions, ours, (9, digits), strict=True)
        if theirs.split(".")[:parts] != own.split(".")[:parts]
    ]
    return " and ".join(told) or None


def versions_here() -> tuple[str, str]:
    """Returns the versions of Ray and Python of this process."""
    return version("ray"), platform.python_version()


def _head_of(address: str, where: str) -> str:
    """Returns host and port of a head node, or of its server for clients. Raises ValueError for what names none."""
    if address.startswith(("http://", "https://")):
        raise ValueError(f"{where} must be {LIKE}, but got {address!r}; {DASHBOARDS}")
    if address == AUTO:
        from ray._private.services import get_ray_address_from_environment

        try:
            found = get_ray_address_from_environment(AUTO, None)
        except ConnectionError:
            found = None
        if not found:
            raise ValueError(
                f"{where} must be {LIKE} where a cluster runs on this machine, but got {AUTO!r} and none does; "
                "ray start --head starts one"
            )
        return str(found)
    host, colon, port = address.removeprefix(CLIENT).partition("/")[0].rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{where} must be {LIKE}, but got {address!r}")
    return f"{host}:{port}"


def ask(head: str, seconds: float = SECONDS) -> Answer:
    """Asks what should be a head node for its versions, once."""
    from ray._private.grpc_utils import init_grpc_channel
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    channel = init_grpc_channel(head, options=[("grpc.enable_http_proxy", 0)])
    try:
        asked = gcs_service_pb2.InternalKVGetRequest(namespace=KV_NAMESPACE_CLUSTER, key=b"CLUSTER_METADATA")
        reply = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(asked, timeout=seconds)
        told = json.loads(reply.value) if reply.value else {}
        return Answer(versions=(told["ray_version"], told["python_version"]) if "ray_version" in told else None)
    except Exception as error:  # grpc's own; Ray brings grpc
        return _understood(error, seconds)
    finally:
        channel.close()


def _understood(error: Exception, seconds: float) -> Answer:
    """Returns what an error of grpc's says of the other side. Raises what is none of its own."""
    code: Any = getattr(error, "code", None)
    if not callable(code):
        raise error
    name, details = str(code().name), str(getattr(error, "details", lambda: "")() or "")
    if name == "UNIMPLEMENTED":  # another of Ray's servers, or one that speaks HTTP/2
        return Answer(NO_HEAD)
    if name in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Answer(f"wants the cluster's token, which was not found here or is another: {TOKEN}")
    if name == "DEADLINE_EXCEEDED":
        return Answer(f"has not answered for {seconds:.0f} seconds", silent=True)
    if "resolv" in details or "lookup" in details:
        return Answer("is a host that is not known here")
    if "HTTP/2" in details or "SETTINGS" in details or "Socket closed" in details:
        return Answer(NO_HEAD)
    if "refused" in details:
        return Answer("refuses connections: nothing listens there")
    return Answer("cannot be reached", silent=True)
