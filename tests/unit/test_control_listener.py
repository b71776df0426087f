"""Test control/listener.py: the file of the control socket, and files that another user puts in its place."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from echotime.control import listener

GROUP = os.getegid()


def test_mode_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has mode 0600 until it belongs to the group, and 0660 then."""
    path = tmp_path / "control"
    modes = []
    give = listener._give_to_group

    def give_to_group(name: str, group: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        give(name, group)

    monkeypatch.setattr(listener, "_give_to_group", give_to_group)
    with listener._bind(str(path), GROUP):
        status = path.stat()
    assert (modes, stat.S_IMODE(status.st_mode), status.st_gid) == ([0o600], 0o660, GROUP)


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "file"])
def test_replaced_after_the_bind(tmp_path: Path, kind: str) -> None:
    """A file that another user puts in place of the socket keeps its mode, and the start fails."""
    precious, path = tmp_path / "precious", tmp_path / "control"
    if kind == "hard link":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(precious))
        sock.close()
        path.hardlink_to(precious)
    else:
        precious.touch()
        path.symlink_to(precious) if kind == "symbolic link" else path.touch()
    precious.chmod(0o600)
    with pytest.raises(OSError, match="another user replaced the socket"):
        listener._give_to_group(str(path), GROUP)
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_group_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that may not give the socket to the group says so, and leaves no file."""
    path = tmp_path / "control"

    def chown(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(OSError, match=r"cannot change its group to root: Operation not permitted"):
        listener._bind(str(path), 0)
    assert not path.exists()
