"""Ed25519 keys: one's own to sign with, and other people's to trust.

They live in ``$NPUKBUILD_KEYS_DIR`` or ``~/.config/npukbuild/keys``: ``NAME.key`` (PKCS #8 PEM, mode 0600),
``NAME.pub`` (SubjectPublicKeyInfo PEM) and ``trusted/NAME.pub``. A key's id is the sha256 of its 32 raw
public bytes, in hex.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npukbuild.errors import RequestError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True)
class PublicKey:
    """A public key with the name it is kept under."""

    name: str
    key: Ed25519PublicKey
    own: bool

    @property
    def id(self) -> str:
        """Sha256 of the raw public key, hex."""
        return key_id(self.key)


@dataclass(frozen=True)
class SigningKey:
    """A private key with the name it is kept under."""

    name: str
    key: Ed25519PrivateKey

    @property
    def id(self) -> str:
        """Id of the public half."""
        return key_id(self.key.public_key())


def keys_folder() -> Path:
    """Return where keys are kept."""
    if given := os.environ.get("NPUKBUILD_KEYS_DIR"):
        return Path(given)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "npukbuild" / "keys"


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of ``key``."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def create_key(name: str, folder: Path | None = None) -> SigningKey:
    """Make a new key pair called ``name``; an existing one is never overwritten.

    Raises:
        RequestError: The name is taken or is not a plain file name.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if not name or not all(character.isalnum() or character in "-_." for character in name) or name[0] == ".":
        raise RequestError(f"{name!r} is not a key name", why="letters, digits, dots, dashes and underscores")
    folder = folder or keys_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        descriptor = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RequestError(f"a key called {name!r} exists already", where=str(folder)) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    (folder / f"{name}.pub").write_bytes(public)
    return SigningKey(name, key)


def load_signing_key(name: str | None, folder: Path | None = None) -> SigningKey:
    """Return one's own key ``name``; without a name, the only one there is.

    Raises:
        SignatureError: There is none, there are several, or it cannot be read.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = folder or keys_folder()
    names = sorted(path.stem for path in folder.glob("*.key"))
    if name is None and len(names) != 1:
        what = "there is no signing key" if not names else "there are several signing keys"
        hint = "npukbuild keys new NAME" if not names else f"choose one with --key: {', '.join(names)}"
        raise SignatureError(what, where=str(folder), hint=hint)
    chosen = name or names[0]
    try:
        key = load_pem_private_key((folder / f"{chosen}.key").read_bytes(), password=None)
    except FileNotFoundError:
        raise SignatureError(
            f"there is no signing key called {chosen!r}",
            where=str(folder),
            hint=f"npukbuild keys new {chosen}",
        ) from None
    except ValueError as error:
        raise SignatureError(
            f"signing key {chosen!r} is damaged", where=str(folder), why=str(error)
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"signing key {chosen!r} is not an ed25519 key", where=str(folder))
    return SigningKey(chosen, key)


def read_public_key(path: Path, *, own: bool = False) -> PublicKey:
    """Read a public key in PEM form.

    Raises:
        SignatureError: It is missing, damaged, or of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SignatureError(f"{path} is not a readable public key", why=str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{path} is not an ed25519 public key")
    return PublicKey(path.stem, key, own)


def public_text(key: PublicKey) -> str:
    """Return a public key in PEM form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def known_keys(folder: Path | None = None) -> dict[str, PublicKey]:
    """Return one's own and the trusted public keys by id."""
    folder = folder or keys_folder()
    own = [read_public_key(path, own=True) for path in sorted(folder.glob("*.pub"))]
    trusted = [read_public_key(path) for path in sorted((folder / "trusted").glob("*.pub"))]
    return {key.id: key for key in [*trusted, *own]}


def trust_key(path: Path, folder: Path | None = None) -> PublicKey:
    """Copy a public key into the trusted ones."""
    key = read_public_key(path)
    place = (folder or keys_folder()) / "trusted"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    (place / f"{key.name}-{key.id[:8]}.pub").write_bytes(path.read_bytes())
    return key
