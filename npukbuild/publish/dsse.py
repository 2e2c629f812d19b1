"""Dead Simple Signing Envelopes (github.com/secure-systems-lab/dsse, protocol v1) with ed25519."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from npukbuild.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from npukbuild.publish.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: ``DSSEv1 LEN(type) type LEN(payload) payload``."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: SigningKey) -> bytes:
    """Return the envelope of ``payload`` as JSON bytes."""
    signature = key.key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return _write(payload, PAYLOAD_TYPE, [(key.id, signature)])


def _write(payload: bytes, kind: str, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    """Write an envelope in the one form we write and accept, so that not even its white space is open."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [
            {"keyid": identity, "sig": base64.b64encode(signature).decode()}
            for identity, signature in signatures
        ],
    }
    return json.dumps(envelope, indent=2).encode() + b"\n"


def open_envelope(data: bytes, keys: Mapping[str, PublicKey]) -> tuple[dict[str, Any], PublicKey]:
    """Return the payload and the key that signed it, once a known key's signature holds.

    Raises:
        SignatureError: Damaged, signed by nobody we know, or signed over other bytes.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        kind = envelope["payloadType"]
        signatures = [
            (str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in envelope["signatures"]
        ]
        if not isinstance(kind, str) or not signatures:
            raise SignatureError("the signature envelope has no signatures")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise SignatureError("the signature envelope is damaged", why=str(error)) from error
    if data != _write(payload, kind, signatures):
        raise SignatureError("the signature envelope is damaged", why="it is not in the form it was written")
    if kind != PAYLOAD_TYPE:
        raise SignatureError("the signature envelope holds something else", why=f"its type is {kind!r}")
    for identity, signature in signatures:
        key = keys.get(identity)
        if key is None:
            continue
        try:
            key.key.verify(signature, pre_authentication_encoding(kind, payload))
        except InvalidSignature:
            raise SignatureError(
                "the signature does not match", why=f"key {key.name} ({identity[:12]}) signed other bytes"
            ) from None
        return _statement(payload), key
    raise SignatureError(
        "the release is signed by a key that is not trusted",
        why=", ".join(identity[:12] for identity, _ in signatures),
        hint="npukbuild keys trust FILE.pub, once you have the signer's key from a place you trust",
    )


def signed_payload(data: bytes) -> dict[str, Any]:
    """Return the payload of an envelope *without* checking who signed it."""
    try:
        return _statement(base64.b64decode(json.loads(data)["payload"]))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise SignatureError("the signature envelope is damaged", why=str(error)) from error


def _statement(payload: bytes) -> dict[str, Any]:
    try:
        statement = json.loads(payload)
    except ValueError as error:
        raise SignatureError("the signed statement is not JSON", why=str(error)) from error
    if not isinstance(statement, dict):
        raise SignatureError("the signed statement is not an object")
    return statement
