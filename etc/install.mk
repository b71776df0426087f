# `make install` and `make uninstall`; the top Makefile runs this file. A virtual environment goes to
# PREFIX/lib/echotime/VERSION, and the link PREFIX/lib/echotime/bin leads to its programs. Everything is made in a
# temporary folder first: a failure of pip changes nothing. Without a network, pip takes wheels of all requirements
# from a folder: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make install
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
PYTHON ?= /usr/bin/python3
# DESTDIR precedes all paths while a package is made, and is in no file that is installed
expected = $(error $1 is '$($1)'; expected an absolute path without blanks)
$(foreach each,PREFIX DESTDIR SYSCONFDIR UNITDIR ZSHDIR,\
    $(if $(filter-out /%,$($(each)))$(word 2,$($(each))),$(call expected,$(each)))\
    $(eval override $(each) := $(patsubst %/,%,$(abspath $($(each))))))
LIB := $(PREFIX)/lib/echotime
# what is installed, without DESTDIR: a line `MARK PATH` for each file, and `folder PATH` for each folder that was made
RECORD := $(DESTDIR)$(LIB)/installed
SYSTEMD := $(if $(DESTDIR),,$(wildcard /run/systemd/system))
# the interpreter, the program that it is a link to, and its standard library
FACTS = $(or $(shell "$(PYTHON)" -Ic 'import os, sys; sys.version_info >= (3, 10) or sys.exit(1); \
    print(sys._base_executable, *map(os.path.realpath, [sys._base_executable, os.path.dirname(os.__file__)]))'),\
    $(error PYTHON is '$(PYTHON)'; expected Python 3.10 or later, as /usr/bin/python3))

.PHONY: install uninstall usable
.ONESHELL:
.SHELLFLAGS := -euc

define FUNCTIONS
# print a checksum, the target of a link, or nothing if nothing is there
mark() { if [ -L "$$1" ]; then readlink "$$1"; elif [ -e "$$1" ]; then sha256sum <"$$1" | cut -c -64; fi; }
remove() {
    here=$$(mark "$(DESTDIR)$$2")
    if [ "$$here" = "$$1" ]; then rm "$(DESTDIR)$$2"; elif [ "$$here" ]; then echo "$$2 was edited, and stays"; fi
}
endef

# the units run Python as an unprivileged user, with ProtectHome=yes and PrivateTmp=yes
usable:
	@fail() {
	    echo "make install: this Python cannot be used: $$*; expected one for all users, as PYTHON=/usr/bin/python3" >&2
	    exit 1
	}
	for each in $(FACTS); do
	    for hidden in /home /root /run/user /tmp /var/tmp; do
	        case $$each in $$hidden/*) fail "$$each is below $$hidden, which the units hide from the daemon" ;; esac
	    done
	    folder=$$each
	    while folder=$$(dirname "$$folder") && [ "$$folder" != / ]; do
	        [ -z "$$(find "$$folder" -prune ! -perm -o=x)" ] ||
	            fail "only some users may enter $$folder, and $$each is in it"
	    done
	done

install: usable
	@$(FUNCTIONS)
	umask 022
	temporary=$$(mktemp -d) unfinished=
	trap 'rm -rf "$$temporary" "$$unfinished"' EXIT
	trap 'exit 1' HUP INT TERM
	root=$$temporary/root source=$$temporary/source share=$$temporary/root$(PREFIX)/share
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' echotime/__init__.py)
	name=$$version number=1
	while [ -e "$(DESTDIR)$(LIB)/$$name" ]; do name=$$version-$$((number += 1)); done

	# the environment, from a copy of the source: a build leaves files in the source, and includes those of older builds
	made=$$root$(LIB)/$$name
	"$(PYTHON)" -Im venv "$$made"
	mkdir "$$source"
	tar -c --exclude='*.py[co]' --exclude='*.mo' LICENSE README.md pyproject.toml setup.cfg echotime twisted docs/man \
	    etc/completion | tar -x -C "$$source"
	pip="$$made/bin/python3 -Im pip --quiet --disable-pip-version-check"
	$$pip install --no-compile --no-warn-script-location "$$source"
	$$pip --quiet uninstall --yes setuptools wheel pip
	# no programs but Python and ours, none of pip's notes, and the paths that hold when it is in its place
	find "$$made/bin" -mindepth 1 ! -name 'python*' ! -name echotime ! -name twistd -delete
	find "$$made/lib" -regex '.*\.dist-info/\(RECORD\|INSTALLER\|REQUESTED\|direct_url.json\)' -delete
	find "$$made/lib" -name __pycache__ -prune -exec rm -r {} +
	rm -rf "$$made/include" "$$made/share"
	sed -i '1s|.*|#!$(LIB)/'"$$name"'/bin/python3|' "$$made/bin/echotime" "$$made/bin/twistd"
	sed -i '/^command/d' "$$made/pyvenv.cfg"
	# the daemon's user could not write bytecode, nor the cache of plugins
	"$$made/bin/python3" -Im compileall -q -j 0 -x 'site-packages/.*/tests?/' -s "$$root" -p / "$$made/lib"
	"$$made/bin/python3" -Ic 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'

	# the other files
	mkdir -p "$$root$(PREFIX)/bin"
	ln -s ../lib/echotime/bin/echotime "$$root$(PREFIX)/bin/echotime"
	ln -s ../lib/echotime/bin/twistd "$$root$(PREFIX)/bin/twistd-echotime"
	install -Dm 644 -t "$$root$(UNITDIR)" etc/*.service etc/*.socket
	install -Dm 644 -t "$$root$(SYSCONFDIR)/echotime" etc/echotime.conf
	install -Dm 644 etc/echotime.default "$$root$(SYSCONFDIR)/default/echotime"
	for each in docs/man/*; do install -Dm 644 -t "$$share/man/man$${each##*.}" "$$each"; done
	install -Dm 644 -t "$$root$(ZSHDIR)" etc/completion/_*
	for each in etc/completion/*.bash; do
	    install -Dm 644 "$$each" "$$share/bash-completion/completions/$$(basename "$$each" .bash)"
	done
	install -Dm 644 -t "$$share/doc/echotime" README.md CHANGELOG.md LICENSE etc/echotime.sysctl
	install -Dm 644 -t "$$share/doc/echotime/docs" docs/*.md docs/*.svg
	# what the sandbox may execute: the program, and what it loads
	set -- $(FACTS)
	python=/usr/bin/python3
	[ "$$2" = $(realpath /usr/bin/python3) ] || python="$$1 $$(dirname "$$3")"
	sed -i "s|/etc/|$(SYSCONFDIR)/|g; s|/usr/lib/echotime|$(LIB)|g; s|/usr/bin/python3|$$python|" \
	    "$$root$(UNITDIR)"/* "$$root$(SYSCONFDIR)/echotime/echotime.conf" "$$root$(SYSCONFDIR)/default/echotime"

	# all of it put in place
	copy() { cp -dR --preserve=mode,timestamps --remove-destination "$$root$$1" "$(DESTDIR)$${2:-$$1}"; }
	old=$$temporary/old new=$$temporary/new
	mkdir -p "$(DESTDIR)/"
	cat "$(RECORD)" >"$$old" 2>/dev/null || true
	sed -n '/^folder /p' "$$old" >"$$new"
	find "$$root" -path "$$made" -prune -o -type d -printf '/%P\n' | while read -r path; do
	    [ -d "$(DESTDIR)$$path" ] || { mkdir "$(DESTDIR)$$path" && echo "folder $$path" >>"$$new"; }
	done
	unfinished=$(DESTDIR)$(LIB)/$$name
	copy "$(LIB)/$$name"
	sed '/^folder /d' "$$old" | while read -r was path; do
	    [ "$$(mark "$$root$$path")" ] || remove "$$was" "$$path"
	done
	find "$$root" -path "$$made" -prune -o ! -type d -printf '/%P\n' | sort | while read -r path; do
	    brought=$$(mark "$$root$$path") here=$$(mark "$(DESTDIR)$$path")
	    was=$$(sed -n "s|^\([^ ]*\) $$path$$|\1|p" "$$old")
	    echo "$$brought $$path" >>"$$new"
	    # what an administrator edited or removed in /etc stays so, as with dpkg
	    case $$path in $(SYSCONFDIR)/*) ;; *) was=$$here ;; esac
	    if [ "$$here" = "$$was" ] || [ "$$here" = "$$brought" ]; then
	        copy "$$path"
	    elif [ -z "$$here" ]; then
	        echo "$$path was removed, and stays so"
	    elif [ "$$brought" = "$$was" ]; then
	        echo "$$path was edited, and stays so"
	    else
	        copy "$$path" "$$path.new"
	        echo "$$brought $$path.new" >>"$$new"
	        echo "$$path was edited, and stays so; what is brought now is in $$path.new"
	    fi
	done
	cd "$(DESTDIR)$(LIB)"
	before=$$(readlink bin || true)
	ln -sfn "$$name/bin" bin.new
	mv -T bin.new bin
	unfinished=
	cp "$$new" installed.new
	mv installed.new installed
	# the environment that was in use stays: a daemon may still run from it
	for each in */pyvenv.cfg; do
	    case $${each%/*}/bin in "$$name/bin" | "$$before") ;; *) rm -rf "$${each%/*}" ;; esac
	done
	echo "echotime $$version is installed: $(LIB)/$$name"
	[ "$(SYSTEMD)" ] || exit 0
	systemctl daemon-reload || true
	[ "$$before" ] && echo "what runs goes on as it was, until: systemctl restart echotime" ||
	    echo "to have it run, now and after each boot: systemctl enable --now echotime.socket echotime.service"

uninstall:
	@$(FUNCTIONS)
	[ -e "$(RECORD)" ] || { echo "nothing of echotime is installed below $(PREFIX)"; exit; }
	if [ "$(SYSTEMD)" ]; then
	    systemctl stop echotime.socket 'echotime@*.socket' echotime.service 'echotime@*.service' echotime-direct.service ||
	        true
	    find "$(SYSCONFDIR)/systemd/system" -path '*.wants/echotime*' -lname '$(UNITDIR)/echotime*' -delete
	fi
	sed '/^folder /d' "$(RECORD)" | while read -r was path; do remove "$$was" "$$path"; done
	for each in "$(DESTDIR)$(LIB)"/*/pyvenv.cfg; do rm -rf "$${each%/*}"; done
	folders=$$(sed -n 's/^folder //p' "$(RECORD)" | sort -r)
	rm -f "$(DESTDIR)$(LIB)/bin" "$(RECORD)"
	for each in $$folders; do
	    [ ! -d "$(DESTDIR)$$each" ] || rmdir --ignore-fail-on-non-empty "$(DESTDIR)$$each"
	done
	[ -z "$(SYSTEMD)" ] || systemctl daemon-reload || true
	echo "echotime is uninstalled"
