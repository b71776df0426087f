"""The daemon's command line and file. All faults are found before anything is opened, and are reported together."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

import echotime
from echotime.config import checks, file
from echotime.config.conflicts import ClaimedAddresses, claim_path
from echotime.config.environment import check_words, environment_note, environment_words
from echotime.config.faults import REPLACEMENTS, FaultList, describe_usage_error
from echotime.config.help import format_help
from echotime.config.option_spec import OptionSpec
from echotime.config.parsers import STANDARD_STREAMS, default_control_socket, record_fault
from echotime.config.requirements import missing_options, missing_surroundings, without_effect
from echotime.config.settings import GROUPS, OPTIONS, SETTING_OPTIONS, Settings
from echotime.errors import twistd_name
from echotime.limits.access import Network, Networks
from echotime.services.answer_text import answer_text
from echotime.sockopt import listing
from echotime.systemd.activation import SystemdSocket, are_sockets_passed
from echotime.systemd.environment import initial_environ
from echotime.terminal.columns import fit
from echotime.wire.escape import sanitize
from echotime.wire.hostport import DEFAULT_PORT, HostPort

_SINGLE_NAMES = frozenset(name for each in OPTIONS if not each.repeatable for name in (each.name, *each.old_names))
_BY_NAME = {each.name: each for each in OPTIONS}
_OLD_NAMES = {old: each for each in OPTIONS for old in each.old_names}
_COMPLETERS: dict[str, type[Any]] = {
    "FILE": usage.CompleteFiles,
    "PATH": usage.CompleteFiles,
    "GROUP": usage.CompleteGroups,
}
"""Completers of values, by metavar."""


def _completer(spec: OptionSpec) -> usage.Completer:
    # without a completer of its own, Twisted completes each value as a file
    return usage.CompleteList(list(spec.choices)) if spec.choices else _COMPLETERS.get(spec.metavar, usage.Completer)()


class DaemonOptions(usage.Options):
    """Parse the options. `settings` holds the result. parseOptions raises UsageError, with a line for each fault."""

    # None marks an option that the command line does not set, so that the file can set it
    optFlags = [[each.name, None, each.usage] for each in OPTIONS if each.is_switch]
    optParameters = [
        [each.name, None, None, each.usage] for each in OPTIONS if not each.is_switch and not each.repeatable
    ]
    compData = usage.Completions(
        multiUse=[each.name for each in OPTIONS if each.repeatable],
        optActions={each.name: _completer(each) for each in OPTIONS if not each.is_switch},
    )

    settings: Settings
    _command_line: dict[str, Any]
    """Texts of the command line, by option: a list for a repeatable option, None or 0 if an option was not given."""

    def __init__(self, started: DaemonOptions | None = None) -> None:
        super().__init__()
        self.update({each.name: [] for each in OPTIONS if each.repeatable})
        self._faults = FaultList()
        self._warnings: list[str] = []
        self._started = started
        """The options with which the daemon was started, None at the start."""
        self._directory: Path = _working_directory() if started is None else started._directory
        """The directory of relative paths. twistd may change its own."""
        self._from_file: dict[str, file.FileText] = {}
        """Options that the file gave, with their names there."""

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        _print_and_exit([f"echotime {echotime.__version__}"])

    def opt_help(self) -> NoReturn:
        """Print this help and exit."""
        _print_and_exit([str(self)])

    opt_h = opt_help
    opt_V = opt_version

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """Parse the command line, and then the words of ECHOTIME_OPTIONS, as usage.Options does.

        Accept old names, and suggest the nearest name for an unknown one.
        """
        last = environment_words(os.environ)
        command_line = sys.argv[1:] if options is None else list(options)
        args = [*command_line, *last]
        given = {each[2:].partition("=")[0] for each in args if each.startswith("--")}
        names = list(self.longOpt)
        for old in sorted(given & _OLD_NAMES.keys()):
            self.longOpt.append(old if _OLD_NAMES[old].is_switch else f"{old}=")
            self.synonyms[old] = _OLD_NAMES[old].name
        # getopt would take --port for --port-file; an option without a handler is reported as unknown
        self.longOpt += given & REPLACEMENTS.keys()
        try:
            # by itself, so that a missing value is not taken from the variable
            check_words(command_line, self)
            super().parseOptions(args)
        except usage.UsageError as error:
            known = [each.rstrip("=") for each in names]
            notes = [environment_note(last)] if last else []
            raise usage.UsageError("\n".join([describe_usage_error(error, known, self.parent), *notes])) from None

    def getSynopsis(self) -> str:
        return f"Usage: {twistd_name()} [twistd's options] echotime [options]"

    def getUsage(self, width: int | None = None) -> str:
        return format_help(GROUPS, width)

    def parseArgs(self, *rest: str) -> None:
        if rest:
            self._faults.add_argument(rest[0])

    def postOptions(self) -> None:
        """Check all values, and keep the result as `settings`."""
        self._command_line = _copy(self)
        for _step in self._check_steps():
            pass
        if self["check"]:
            warnings = [sanitize(f"warning: {each}") for each in self.settings.warnings]
            _print_and_exit([*warnings, f"{self['config']}: no faults" if self["config"] else "no faults"])

    def reparse(self) -> Generator[None, None, Settings]:
        """Return the settings of the same command line and of the file as it is now. Yield after short steps.

        The command line is not parsed again: getopt, which cannot be interrupted, takes quadratic time for a long one.
        Raises UsageError.
        """
        fresh = DaemonOptions(self)
        fresh.parent = self.parent
        fresh.update(_copy(self._command_line))
        yield from fresh._check_steps()
        return fresh.settings

    def _check_steps(self) -> Generator[None, None, None]:
        """Check all values, and keep the result as `settings`. Each step is short, even if a list is long.

        Raises UsageError.
        """
        yield from self._merge_file()
        settings = Settings(**self._parse_values(), log_to_stdout=logs_to_stdout(self.parent or {}))
        if settings.control is None:
            settings = replace(settings, control=default_control_socket(os.environ))
        self._check_record(settings.record)
        lists = yield from self._parse_lists()
        for name in ("tcp", "udp", "http"):
            yield from self._check_list(name, checks.repeated_addresses(lists[name]))
        yield from self._check_list("behave", checks.repeated_behaviors(lists["behave"]))
        yield from self._check_list("behave", checks.excess_behaviors(lists["behave"]))
        remote = checks.remote_http_addresses(lists["http"], allowed=settings.http_allow_remote)
        yield from self._check_list("http", remote)
        if not self["tcp"] and not self["udp"]:
            lists["tcp"] = lists["udp"] = [_default_address()]
        yield from self._check_conflicts(settings, lists)
        networks = {}
        for name in ("allow", "deny", "proxy_protocol", "quiet"):
            networks[name] = yield from _build_networks(lists[name])
        yield from self._check_list("deny", checks.allowed_networks(lists["deny"], networks["allow"]))
        kept: dict[str, Any] = {name: tuple(found) for name, found in lists.items()}
        settings = replace(settings, **{**kept, **networks})
        self._check_requirements(settings)
        self._faults.raise_if_any()
        self.settings = replace(settings, warnings=(*self._warnings, *without_effect(settings)))

    def _merge_file(self) -> Generator[None, None, None]:
        """Use the values of the file for the options that the command line does not give."""
        if self["config"] is None:
            return
        path = self["config"] = str(self._directory / self["config"])
        try:
            found = yield from file.read(path, _SINGLE_NAMES)
        except file.ConfigFileError as error:
            self._faults.add(str(error))
            return
        known = [each.name for each in SETTING_OPTIONS]
        for name, texts in found.items():
            yield
            spec = _OLD_NAMES.get(name) or _BY_NAME.get(name)
            where = f"{path}, line {name.line}"
            if spec is None:
                self._faults.add_unknown_option(where, name, known, self.parent)
            elif not spec.setting:
                self._faults.add(f"{where}: {name} is accepted on the command line only", name.line)
            elif spec.name in self._from_file:
                previous = self._from_file[spec.name]
                self._faults.add(f"{where}: {name} and {previous} are the same option", name.line)
            elif spec.repeatable and not texts:
                self._faults.add(f"{where}: {name} has no value; expected one or more", name.line)
            elif self[spec.name] in (None, 0, []):
                self._from_file[spec.name] = name
                self[spec.name] = texts if spec.repeatable else next(iter(texts), file.FileText("", name.line))

    def _parse_values(self) -> dict[str, Any]:
        """Return the values of options that are given once, by setting. The other settings keep their defaults."""
        values = {}
        for spec in SETTING_OPTIONS:
            given = self[spec.name]
            if self._started is not None and not spec.reloadable and given == self._started[spec.name]:
                # a name service that looks a group up may block
                values[spec.setting] = getattr(self._started.settings, spec.setting)
            elif isinstance(given, str):
                values[spec.setting] = self._parse(spec, given)
            elif spec.is_switch:
                values[spec.setting] = bool(given)
        return {setting: value for setting, value in values.items() if value is not None}

    def _parse_lists(self) -> Generator[None, None, dict[str, list[Any]]]:
        """Return the values of repeatable options, by setting. None stands for a faulty value."""
        lists: dict[str, list[Any]] = {}
        for spec in SETTING_OPTIONS:
            if spec.repeatable:
                found = lists[spec.setting] = []
                texts = self[spec.name]
                if self._started is not None and not spec.reloadable and texts and texts == self._started[spec.name]:
                    # the directory of a socket may be out of reach after the start, by --uid, --chroot or a sandbox
                    found += getattr(self._started.settings, spec.setting)
                    continue
                for text in texts:
                    yield
                    found.append(self._parse(spec, text))
        return lists

    def _parse(self, spec: OptionSpec, text: str) -> Any:
        """Return the value of a text, or None after adding a fault."""
        try:
            if isinstance(text, file.FileText):
                file.check_value(text, escapes=spec.parse is answer_text)
            absolute = str(self._directory / text) if spec.is_path and text else str(text)
            return (spec.parse or file.boolean)(absolute)
        except ValueError as error:
            self._add_fault(spec.name, text, str(error))
            return None

    def _check_list(self, name: str, faults: Iterator[str]) -> Generator[None, None, None]:
        """Add the faults of a repeatable option's values."""
        for text, fault in zip(self[name], faults, strict=True):
            yield
            if fault:
                self._add_fault(name, text, fault)

    def _add_fault(self, name: str, text: str, fault: str) -> None:
        """Add the fault of a value, with the option as it was given."""
        if isinstance(text, file.FileText):
            where = f"{self['config']}, line {text.line}: {self._from_file[name]}"
            self._faults.add(f"{where} = {text}: {fault}", text.line)
        else:
            self._faults.add(f"--{name} {text}: {fault}")

    def _locate(self, name: str, text: str) -> tuple[str, int]:
        """Return a sentence about an option, as it was given, and its line in the file."""
        if given := self._from_file.get(name):
            return f"{self['config']}, line {given.line}: {given} {text}", given.line
        return f"--{name} {text}", 0

    def _check_requirements(self, settings: Settings) -> None:
        """Check that options have what they require.

        --check knows neither the terminal nor the environment in which the daemon will run, so it warns of these.
        """
        for name, text in missing_options(settings):
            self._faults.add(*self._locate(name, text))
        in_background = self.parent is not None and not self.parent.get("nodaemon", True)
        for name, text in missing_surroundings(settings, in_background=in_background):
            if self["check"]:
                self._warnings.append(self._locate(name, text)[0])
            else:
                self._faults.add(*self._locate(name, text))

    def _check_conflicts(self, settings: Settings, lists: Mapping[str, list[Any]]) -> Generator[None, None, None]:
        """Check that no two options have the same address or path."""
        addresses = ClaimedAddresses(lists["sockopts"])
        for name in ("tcp", "udp", "http", "behave"):
            faults = addresses.claim(name, lists[name])
            if self[name]:
                yield from self._check_list(name, faults)
            else:
                list(faults)  # the default is claimed, too
        record = None if settings.record in STANDARD_STREAMS else settings.record
        paths = {"config": self["config"], "control": settings.control, "record": record}
        holders: dict[str, str] = {}
        for name, path in (*paths.items(), ("port-file", settings.port_file)):
            if path is not None and (fault := claim_path(holders, name, path)):
                self._add_fault(name, self[name], fault)
        yield from self._check_list(
            "http", (claim_path(holders, "http", each) if isinstance(each, str) else "" for each in lists["http"])
        )

    def _check_record(self, path: str | None) -> None:
        """Check the path of --record, unless the daemon has opened it, or --chroot will change what it names."""
        if path is None or path in STANDARD_STREAMS:
            return
        if self._started is not None:
            is_unknown = path == self._started.settings.record
        else:
            is_unknown = self.parent is not None and bool(self.parent.get("chroot"))
        if not is_unknown and (fault := record_fault(path)):
            self._add_fault("record", self["record"], fault)


def _add_repeatable(spec: OptionSpec) -> None:
    """Give DaemonOptions the method through which usage.Options handles an option that may be repeated."""

    def handle(self: DaemonOptions, text: str) -> None:
        if spec.name == "sockopt" and text.lower() == "help":
            _print_and_exit(listing.option_lines(fit))
        self[spec.name].append(text)

    handle.__doc__ = spec.usage
    setattr(DaemonOptions, f"opt_{spec.name.replace('-', '_')}", handle)


for _spec in OPTIONS:
    if _spec.repeatable:
        _add_repeatable(_spec)


def _build_networks(networks: Iterable[Network | None]) -> Generator[None, None, Networks]:
    found = Networks()
    for each in networks:
        yield
        if each is not None:
            found.add(each)
    return found


def _working_directory() -> Path:
    """Return the working directory, or an empty path if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()


def _copy(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(given) if isinstance(given, list) else given for name, given in options.items()}


def _default_address() -> HostPort | SystemdSocket:
    """Return what is served without --tcp and --udp: inherited sockets, if there are any."""
    if are_sockets_passed(initial_environ()):
        return SystemdSocket(required=False)
    return HostPort("0.0.0.0", DEFAULT_PORT)


def _print_and_exit(lines: Iterable[str]) -> NoReturn:
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        # Python would try once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader such as head(1) may have exited
            print(f"echotime: standard output: {error.strerror}", file=sys.stderr)
            raise SystemExit(1) from None
    raise SystemExit(0)


def logs_to_stdout(twistd: Mapping[str, Any]) -> bool:
    """Return True unless twistd's options send the log to a file or to syslog."""
    return twistd.get("logfile") in {None, "-"} and not twistd.get("syslog")
