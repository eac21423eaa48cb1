"""What of systemctl a page uses, for the units below ROOT: they are verified, and a service is started as its unit says, with the
sockets that were opened for it. It is told when it is ready, and keeps what it says of itself until then.
"""

import fcntl
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

ROOT = pathlib.Path(os.environ["ROOT"])
UNITS = ROOT / "etc/systemd/system"
STATE = ROOT / "run"
PATIENCE = 20


def here(text):
    for path in ["/usr/local/bin/", "/etc/"]:
        text = text.replace(path, f"{ROOT}{path}")
    return text


def settings(unit):
    found = {}
    for line in (UNITS / unit).read_text().splitlines():
        name, sign, value = line.partition("=")
        if sign and name.isalnum():
            found.setdefault(name, []).append(value)
    return found


def reload():
    verified = ROOT / "verified"
    verified.mkdir(exist_ok=True)
    for unit in UNITS.iterdir():
        (verified / unit.name).write_text(here(unit.read_text()))
    subprocess.run(["systemd-analyze", "verify", "--man=no", *verified.iterdir()], check=True)


def sockets():
    for unit in sorted(STATE.glob("*.socket")):
        its = settings(unit.name)
        host, _, port = its["ListenStream"][0].rpartition(":")
        yield its["FileDescriptorName"][0], socket.create_server((host, int(port)))


def become(command, environment, opened):
    # First out of the way of the numbers that they get.
    kept = [fcntl.fcntl(it.fileno(), fcntl.F_DUPFD, 100) for _, it in opened]
    for number, descriptor in enumerate(kept):
        os.dup2(descriptor, 3 + number)
        os.close(descriptor)
    if opened:
        environment["LISTEN_PID"] = str(os.getpid())
        environment["LISTEN_FDS"] = str(len(opened))
        environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in opened)
    journal = os.open(STATE / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(journal, 1)
    os.dup2(journal, 2)
    os.execve(command[0], command, environment)


def start(unit):
    if unit.endswith(".socket"):
        (STATE / unit).touch()
        return
    its = settings(unit)
    notified = STATE / "notified"
    notified.unlink(missing_ok=True)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(notified))
    manager.settimeout(PATIENCE)
    environment = {**os.environ, "NOTIFY_SOCKET": str(notified)}
    environment.update(it.split("=", 1) for it in its["Environment"])
    opened = list(sockets())
    process = os.fork()
    if process == 0:
        become(here(its["ExecStart"][0]).split(), environment, opened)
    (STATE / "process").write_text(str(process))
    with (STATE / "said").open("a") as said:
        told = []
        while "READY=1" not in told:
            told = manager.recv(4096).decode().splitlines()
            said.writelines(f"{it}\n" for it in told)


def stop():
    process = os.pidfd_open(int((STATE / "process").read_text()))
    signal.pidfd_send_signal(process, signal.SIGTERM)
    ended, _, _ = select.select([process], [], [], PATIENCE)
    if not ended:
        sys.exit("it does not stop")


def is_there(process):
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


verb, *rest = sys.argv[1:]
units = [it if "." in it else f"{it}.service" for it in rest if it != "--now"]
STATE.mkdir(exist_ok=True)
for unit in units:
    assert (UNITS / unit).is_file(), unit
if verb == "daemon-reload":
    reload()
elif verb == "enable":
    assert all("WantedBy" in settings(it) for it in units) and "--now" in rest
    for unit in units:
        start(unit)
elif verb == "start":
    for unit in units:
        start(unit)
elif verb == "stop":
    stop()
elif verb == "status":
    assert is_there(int((STATE / "process").read_text()))
    for line in (STATE / "said").read_text().splitlines():
        name, _, text = line.partition("=")
        if name == "STATUS":
            print(f'Status: "{text}"')
else:
    sys.exit(f"nothing stands here for systemctl {verb}")
