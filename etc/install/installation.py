"""Installing and removing, each of which may be done again; what an administrator edited is left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import environment
import record
from files import File, files
from places import Places
from record import Record, mark, marked


class Installation:
    """What it does with files it says, in lines."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._home = places.at(places.home)
        self._old = record.read(self._home) or Record()
        self._new = Record(folders=list(self._old.folders))

    @property
    def exists(self) -> bool:
        """Something is installed here."""
        return bool(self._old.files)

    def install(self, *, bare: bool) -> None:
        """Bring everything; the environment that was in use until now stays, as a daemon may still run from it."""
        self._folder(self.places.home)
        name = environment.free_name(self._home)
        environment.make(self.places, name, bare=bare)
        before = environment.switch(self._home, name)
        for each in files(self.places):
            self._folder(each.path.parent)
            (self._configure if each.configuration else self._put)(each)
        for path in self._old.files.keys() - self._new.files.keys():
            self._remove(path, self._old.files[path])
        for known in self._old.environments:
            if known == before:
                self._new.environments.append(known)
            else:
                shutil.rmtree(self._home / known, ignore_errors=True)
        self._new.environments.append(name)
        self._new.write(self._home)
        print(f"echotime {environment.version()} is installed: {self.places.home / name}")

    def uninstall(self) -> None:
        """Remove what was brought and is as it was, and the folders that were made for it."""
        for path, was in {**self._old.files, **self._old.configuration}.items():
            self._remove(path, was)
        for name in self._old.environments:
            shutil.rmtree(self._home / name, ignore_errors=True)
        (self._home / "bin").unlink(missing_ok=True)
        record.forget(self._home)
        for folder in sorted(self._old.folders, key=len, reverse=True):
            made = self.places.at(Path(folder))
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
        print("echotime is uninstalled")

    def _folder(self, path: Path) -> None:
        for each in [*reversed(path.parents), path]:
            if not self.places.at(each).is_dir():
                self.places.at(each).mkdir()
                self._new.folders.append(str(each))

    def _put(self, each: File) -> None:
        path = self.places.at(each.path)
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        if each.link:
            new.symlink_to(each.link)
        else:
            new.write_bytes(each.content)
            new.chmod(0o644)
        new.replace(path)
        self._new.files[str(each.path)] = str(marked(path))

    def _configure(self, each: File) -> None:
        """As dpkg does it: what was edited or removed stays so; what is new is put beside it, if it is another."""
        path, name = self.places.at(each.path), str(each.path)
        here, before, brought = marked(path), self._old.configuration.get(name), mark(each.content)
        if here in {before, brought} if here else before is None:
            self._put(each)
            del self._new.files[name]
        elif here is None:
            print(f"{name} was removed, and stays so")
        elif brought == before:
            print(f"{name} was edited, and stays so")
        else:
            self._put(each._replace(path=each.path.with_name(f"{each.path.name}.new")))
            print(f"{name} was edited, and stays so; what is brought now is in {name}.new")
        self._new.configuration[name] = brought

    def _remove(self, path: str, was: str) -> None:
        there = self.places.at(Path(path))
        here = marked(there)
        if here == was:
            there.unlink()
        elif here is not None:
            print(f"{path} was edited, and stays")
