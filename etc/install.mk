# `make install` and `make uninstall`, run by the top Makefile. PREFIX/lib/echotime/VERSION is a virtual environment.
# Its file `files` lists what is installed elsewhere, and its `etc` has unedited copies of the files in /etc. Units and
# commands use the link PREFIX/lib/echotime/bin, which an upgrade switches. DESTDIR precedes all paths, for packages.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
PYTHON ?= /usr/bin/python3
$(foreach each,PREFIX DESTDIR SYSCONFDIR UNITDIR ZSHDIR,$(eval override $(each) := $(abspath $($(each)))))
LIB := $(PREFIX)/lib/echotime
ETC := $(DESTDIR)$(SYSCONFDIR)
SYSTEMCTL := $(if $(DESTDIR),:,$(if $(wildcard /run/systemd/system),systemctl,:))

# Print what the units must allow to be executed: the interpreter, and the folders of its libraries.
define FIND_PYTHON
import os, sys
try: import venv; from ensurepip import version
except ImportError: sys.exit("PYTHON cannot create a virtual environment; on Debian: apt install python3-venv")
program, library = sys._base_executable, os.path.dirname(os.path.realpath(os.path.dirname(os.__file__)))
paths = sorted({program, os.path.realpath(program), library, "/usr/lib"})
hidden = [path for path in paths if path.startswith(("/home/", "/root/", "/tmp/", "/var/tmp/"))]
if sys.version_info < (3, 10): sys.exit(f"PYTHON has version {sys.version}; expected 3.10 or later")
if hidden: sys.exit(f"PYTHON is in {hidden[0]}; expected it outside /home, /root and /tmp, which the units hide")
print(*paths)
endef

.PHONY: install uninstall
.ONESHELL:
.SHELLFLAGS := -euc

install:
	@umask 022
	command -v "$(PYTHON)" >/dev/null || { echo "PYTHON: $(PYTHON) was not found; on Debian: apt install python3-venv" >&2; exit 1; }
	python=$$("$(PYTHON)" -Ic '$(FIND_PYTHON)')
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' echotime/__init__.py)
	name=$$version number=1 lib=$(DESTDIR)$(LIB)
	while [ -e "$$lib/$$name" ]; do number=$$((number + 1)) name=$$version-$$number; done
	new=$$lib/$$name old=$$lib/$$(dirname "$$(readlink "$$lib/bin")")
	temporary=$$(mktemp -d) unfinished=$$new
	trap 'rm -rf "$$temporary" "$$unfinished"' EXIT; trap 'exit 1' HUP INT TERM
	# Build the environment from a copy of the source, because pip leaves files in the source.
	root=$$temporary/root share=$$temporary/root$(PREFIX)/share
	mkdir -p "$$temporary/source" "$$root$(PREFIX)/bin"
	cp -r --parents LICENSE README.md *.toml setup.cfg echotime twisted docs/man etc/completion "$$temporary/source"
	"$(PYTHON)" -Im venv "$$new"
	"$$new/bin/python3" -Im pip install -q --disable-pip-version-check --no-compile "$$temporary/source"
	"$$new/bin/python3" -Im pip uninstall -qqy setuptools wheel pip
	find "$$new/bin" -mindepth 1 ! -name 'python*' ! -name echotime ! -name 'twistd*' -delete
	sed -i "/^command/d; s|$$lib/|$(LIB)/|" "$$new/pyvenv.cfg" "$$new/bin/echotime" "$$new/bin/twistd"*
	# The daemon's user can write neither bytecode nor Twisted's plugin cache.
	"$$new/bin/python3" -Im compileall -qf -j 0 -x 'site-packages/.*/tests?/' -s "$(DESTDIR)" -p / "$$new/lib"
	"$$new/bin/python3" -Ic 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
	# Collect the other files.
	ln -s ../lib/echotime/bin/echotime "$$root$(PREFIX)/bin/echotime"
	ln -s ../lib/echotime/bin/twistd-echotime "$$root$(PREFIX)/bin/twistd-echotime"
	install -Dm 644 -t "$$root$(UNITDIR)" etc/*.service etc/*.socket
	for each in docs/man/*; do install -Dm 644 -t "$$share/man/man$${each##*.}" "$$each"; done
	install -Dm 644 etc/completion/echotime.bash "$$share/bash-completion/completions/echotime"
	install -Dm 644 etc/completion/twistd-echotime.bash "$$share/bash-completion/completions/twistd-echotime"
	install -Dm 644 -t "$$root$(ZSHDIR)" etc/completion/_*
	install -Dm 644 -t "$$share/doc/echotime" README.md CHANGELOG.md LICENSE etc/echotime.sysctl
	install -Dm 644 -t "$$share/doc/echotime/docs" docs/*.md docs/*.svg docs/*.png
	install -Dm 644 -t "$$share/doc/echotime/docs/socket-options" docs/socket-options/*.md
	install -Dm 644 -t "$$share/doc/echotime/etc/examples" etc/examples/*
	install -Dm 644 -t "$$share/doc/echotime/etc/prometheus" etc/prometheus/*
	install -Dm 644 etc/echotime.default "$$new/etc/default/echotime"
	install -Dm 644 etc/echotime.conf "$$new/etc/echotime/echotime.conf"
	sed -i "s|/etc/|$(SYSCONFDIR)/|g; s|/usr/lib/echotime|$(LIB)|g; s|/usr/bin/python3 /usr/lib |$$python |" \
	    "$$root$(UNITDIR)"/* "$$new"/etc/*/*
	# Put them in place, and remove files that only the previous version had.
	(cd "$$root" && find * ! -type d | tee "$$new/files" | xargs cp -d --parents --remove-destination -t "$(DESTDIR)/")
	grep -svxFf "$$new/files" "$$old/files" | sed 's|^|$(DESTDIR)/|' | xargs rm -f
	for each in default/echotime echotime/echotime.conf; do
	    if [ ! -e "$(ETC)/$$each" ] || cmp -s "$$old/etc/$$each" "$(ETC)/$$each"; then
	        install -Dm 644 "$$new/etc/$$each" "$(ETC)/$$each"
	    elif ! cmp -s "$$old/etc/$$each" "$$new/etc/$$each"; then
	        install -m 644 "$$new/etc/$$each" "$(ETC)/$$each.new"
	        echo "$(SYSCONFDIR)/$$each was edited and is kept; the new version is $(SYSCONFDIR)/$$each.new"
	    fi
	done
	# Switch. The previous environment stays, because a daemon may run from it.
	ln -sfn "$$name/bin" "$$lib/bin.new"
	mv -T "$$lib/bin.new" "$$lib/bin"
	unfinished=
	find "$$lib" -mindepth 1 -maxdepth 1 ! -name bin ! -path "$$new" ! -path "$$old" -exec rm -r {} +
	$(SYSTEMCTL) daemon-reload || true
	echo "$(LIB)/$$name is installed."
	[ -z "$(DESTDIR)" ] || exit 0
	conf=$(SYSCONFDIR)/echotime/echotime.conf
	echo "Next, with the options in $$conf (man twistd-echotime):"
	if [ ! -d /run/systemd/system ]; then
	    echo "  $(PREFIX)/bin/twistd-echotime -n echotime --config $$conf  # serve port 12345"
	elif [ -e "$$old/files" ]; then
	    echo "  systemctl restart echotime 'echotime@*.service'  # run the new version"
	else
	    echo "  systemctl enable --now echotime.socket echotime.service  # serve port 12345, now and at boot"
	fi
	echo "  $(PREFIX)/bin/echotime check 127.0.0.1  # does it answer? with reply = TEXT in that file: check --reply TEXT 127.0.0.1"

uninstall:
	@cd "$(DESTDIR)$(LIB)" 2>/dev/null || { echo "echotime is not installed in $(DESTDIR)$(LIB)"; exit; }
	$(SYSTEMCTL) stop 'echotime.*' 'echotime@*' 'echotime-direct.*' || true
	# also instances, for which `systemctl disable` has no pattern
	find "$(DESTDIR)/etc/systemd/system" -lname '$(UNITDIR)/echotime*' -delete 2>/dev/null || true
	sed 's|^|$(DESTDIR)/|' */files | xargs rm -f
	for each in default/echotime default/echotime.new echotime/echotime.conf echotime/echotime.conf.new; do
	    for copy in */etc/"$${each%.new}"; do ! cmp -s "$$copy" "$(ETC)/$$each" || rm "$(ETC)/$$each"; done
	    [ ! -e "$(ETC)/$$each" ] || echo "$(SYSCONFDIR)/$$each was edited and is kept"
	done
	rm -rf "$(DESTDIR)$(LIB)" "$(DESTDIR)$(PREFIX)/share/doc/echotime"
	rmdir "$(ETC)/echotime" 2>/dev/null || true
	$(SYSTEMCTL) daemon-reload || true
	echo "echotime is uninstalled"
