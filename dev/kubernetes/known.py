"""What the sensorpipe binary says of itself."""

import os
import re
import subprocess

from rules import Known

ROLES = ("migrate", "api", "worker", "audit", "all", "seed")
SETTING = re.compile(r"\[env: ([A-Z0-9_]+)(?:=[^\]]*)?\]|\[default: ([^\]]*)\]")


def known_by(binary):
    # The caller's own settings would show in the help.
    env = {"PATH": os.environ["PATH"]}
    version = ask(binary, "--version", env=env).split()[1]
    return Known({role: settings(ask(binary, role, "--help", env=env)) for role in ROLES}, version)


def settings(text):
    """Each environment variable of a role's help with the default that follows it."""
    found, name = {}, None
    for variable, default in SETTING.findall(text):
        if variable:
            name = variable
            found[name] = None
        elif name and found[name] is None:
            found[name] = default
    return found


def ask(binary, *arguments, env):
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=True, env=env).stdout
