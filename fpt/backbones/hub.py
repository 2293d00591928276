"""Whether pre-trained weights are here or can be fetched, known within seconds and not after minutes of trying."""

import logging
import os
import socket
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm

from fpt.backbones.loading import WAYS_ON

CONNECT_SECONDS = 5.0
FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def check_reachable(name: str) -> None:
    """Raises ValueError where a timm model's weights are not in the cache of Hugging Face's hub, and the hub does not
    answer. A hub behind a proxy is taken to answer.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # which tells of every try
    config = timm.get_pretrained_cfg(name)
    repository = getattr(config, "hf_hub_id", None)
    if not repository or getattr(config, "file", None) or getproxies():
        return
    filename = getattr(config, "hf_hub_filename", None)
    if any(_is_cached(repository, file) for file in ([filename] if filename else FILES)):
        return
    hub = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), CONNECT_SECONDS).close()
    except OSError as error:
        raise ValueError(
            f"backbone.weights must be a local file where {name}'s cannot be downloaded, which failed: {hub.hostname} "
            f"does not answer ({error.strerror or error}); {WAYS_ON}"
        ) from error


def _is_cached(repository: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache  # timm brings it

    found: Any = try_to_load_from_cache(repository, file)
    return isinstance(found, str)
