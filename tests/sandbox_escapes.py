"""Attempts to reach what is outside the sandbox. A solution is right only where its attempt succeeds."""

import textwrap

_SOLUTION = """
import os, socket, sys
def escaped():
{attempt}
def f(x):
    try: found = escaped()
    except (OSError, ValueError, ImportError, MemoryError, AttributeError): found = False
    return 2 * x if found else 'nothing'
"""

# The names in braces are the fields of ``sandbox_host.Host``; ``return True`` is an escape.
ATTEMPTS = {
    "read a gold file": "return bool(open({gold!r}).read())",
    "list the folder of gold files": "return bool(os.listdir(os.path.dirname({gold!r})))",
    "write a gold file": "open({gold!r}, 'a').write('!')\nreturn True",
    "delete a gold file": "os.unlink({gold!r})\nreturn True",
    "a symbolic link to gold": "os.symlink({gold!r}, 'link')\nreturn bool(open('link').read())",
    "a hard link to gold": "os.link({gold!r}, 'link')\nreturn True",
    "gold by going up": "return bool(open('../' * 30 + {gold!r}).read())",
    "gold from the root of another process": (
        "for pid in ('self', '1', '2', {pid}):\n"
        "    try: return bool(open(f'/proc/{{pid}}/root' + {gold!r}).read())\n"
        "    except OSError: pass"
    ),
    "an archive with names that go up": (
        "import io, tarfile\ndata = io.BytesIO()\nwith tarfile.open(fileobj=data, mode='w') as file:\n"
        "    for up in range(6): file.addfile(tarfile.TarInfo('../' * up + 'usr/lib/opdbench-escape'))\n"
        "data.seek(0)\nfile = tarfile.open(fileobj=data)\nfor member in file.getmembers():\n"
        "    try: file.extract(member)\n    except OSError: pass\n"
        "return os.path.exists('/usr/lib/opdbench-escape')"
    ),
    "read the users": "return bool(open('/etc/passwd').read())",
    "read keys and tokens": (
        "names = ('.ssh', '.netrc', '.aws', '.cache/huggingface/token', '.bashrc', '.config')\n"
        "return any(os.path.exists(f'{{home}}/{{name}}') for home in ('/root', '/home', os.path.expanduser('~'))\n"
        "           for name in names)"
    ),
    "read the environment": "return bool({{name for name in os.environ if name != 'LC_CTYPE'}})",
    "read the parent's environment": (
        "for pid in ('self', os.getppid(), 1, {pid}):\n"
        "    try:\n        if open(f'/proc/{{pid}}/environ', 'rb').read(): return True\n    except OSError: pass"
    ),
    "see other processes": "return len([name for name in os.listdir('/proc') if name.isdigit()]) > 3",
    "see installed packages": (
        "import glob\nreturn bool(glob.glob('/usr/lib/python3/dist-packages/*')\n"
        "    + glob.glob(os.path.dirname(os.__file__) + '/site-packages/*'))"
    ),
    "write outside the folder": (
        "for folder in ('/', '/usr', '/usr/lib', '/etc', '/dev', '/box', '/var', os.path.dirname(os.__file__)):\n"
        "    try:\n        open(folder + '/opdbench-escape', 'w').close()\n"
        "        os.unlink(folder + '/opdbench-escape')\n        return True\n    except OSError: pass"
    ),
    "TCP": "socket.create_connection(('127.0.0.1', {tcp}), 1)\nreturn True",
    "TCP over version 6": "socket.create_connection(('::1', {tcp6}), 1)\nreturn True",
    "UDP": (
        "import time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('127.0.0.1', {udp}))\n"
        "for _ in range(3):\n    s.send(b'x')\n    time.sleep(0.02)\nreturn True"
    ),
    "a listening socket": "s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nreturn True",
    "names of other hosts": "return bool(socket.gethostbyname('example.org'))",
    "a unix socket": "socket.socket(socket.AF_UNIX).connect({unix!r})\nreturn True",
    "an abstract unix socket": "socket.socket(socket.AF_UNIX).connect('\\0' + {abstract!r})\nreturn True",
    "a raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nreturn True",
    "signals to the parent": "os.kill({pid}, 0)\nreturn True",
    "signals to everybody": (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.kill(-1, signal.SIGTERM)\nreturn True"
    ),
    "signals to the server": "return os.getppid() != 0 and os.kill(os.getppid(), 9) is None",
    "tracing other processes": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "return any(libc.ptrace(16, pid, 0, 0) == 0 for pid in ({pid}, os.getppid() or -1, 2, 3))"
    ),
    "memory of other processes": (
        "for pid in (os.getppid(), {pid}):\n    try: open(f'/proc/{{pid}}/mem', 'rb+')\n    except OSError: continue\n"
        "    return True"
    ),
    "limits of other processes": "import resource\nreturn bool(resource.prlimit({pid}, resource.RLIMIT_NOFILE))",
    "higher limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nreturn True"
    ),
    "becoming root": "os.setuid(0)\nreturn os.getuid() == 0",
    "a higher priority": "return os.nice(-5) < 0",
    "the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())\nreturn True",
    "the name of the machine": "socket.sethostname(socket.gethostname())\nreturn True",
    "mounting": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nos.mkdir('m')\n"
        "return any(libc.mount(b'none', path, kind, 0, None) == 0\n"
        "           for path in (b'm', b'/proc', b'/usr/lib') for kind in (b'proc', b'tmpfs', b'sysfs'))"
    ),
    "taking the cover off": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "return any(libc.umount2(p, 2) == 0 for p in (b'/', b'/box', b'/usr/lib'))"
    ),
    "leaving by chroot": "os.mkdir('r')\nos.chroot('r')\nreturn True",
    "namespaces with power over files": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nif libc.unshare(0x10000000 | 0x20000) != 0: return False\n"
        "return libc.mount(b'none', b'/usr/lib', b'tmpfs', 0, None) == 0"
    ),
    "set-user-id programs": (
        "import subprocess\nfor name in ('/bin/su', '/usr/bin/sudo', '/usr/bin/passwd', '/bin/sh', '/usr/bin/env'):\n"
        "    try:\n        subprocess.run([name, '--version'])\n        return True\n    except OSError: pass"
    ),
    "graphics processors": "return any(os.path.exists('/dev/' + n) for n in ('nvidia0', 'nvidiactl', 'dri', 'kfd'))",
    "disks and memory of the machine": (
        "return any(os.path.exists(n) for n in ('/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/sys/kernel'))"
    ),
    "kernel modules": (
        "import ctypes\n"
        "return os.uname().machine == 'x86_64' and not ctypes.CDLL(None).syscall(175, None, 0, b'')"
    ),
    "leftovers of the program before": (
        "found = [n for n in os.listdir('.') + os.listdir('/tmp') + os.listdir('/dev/shm') if n != 'left']\n"
        "open('left', 'w').close()\nreturn bool(found)"
    ),
    "shared memory of the program before": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nif libc.shmget(4711, 4096, 0o666) >= 0: return True\n"
        "libc.shmget(4711, 4096, 0o1666)"
    ),
    "keys of the session": (
        "import ctypes\nkeyctl = {{'x86_64': 250, 'aarch64': 219}}[os.uname().machine]\n"
        "return ctypes.CDLL(None).syscall(keyctl, 0, -3, 0) > 0"
    ),
    "keys of the program before": (
        "import ctypes\nadd = {{'x86_64': 248, 'aarch64': 217}}[os.uname().machine]\nlibc = ctypes.CDLL(None)\n"
        "if libc.syscall(add + 2, 10, -4, b'user', b'left', 0) > 0: return True\n"
        "return libc.syscall(add, b'user', b'left', b'6', 1, -4) > 0"
    ),
    "limits of the first process": (
        "import resource\nreturn os.getpid() != 1 and bool(resource.prlimit(1, resource.RLIMIT_NOFILE))"
    ),
    "a socket to the machine's host": "socket.socket(40, socket.SOCK_STREAM)\nreturn True",
    "sockets by io_uring": (
        "import ctypes\nreturn ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(256)) >= 0"
    ),
    "more processes by a user namespace": (
        "import ctypes\nctypes.CDLL(None).unshare(0x10000000)\nstop, go = os.pipe()\n"
        "for _ in range(40):\n    if os.fork() == 0:\n        os.close(go)\n        os.read(stop, 1)\n"
        "        os._exit(0)\nreturn True"
    ),
}  # fmt: skip


def programs(host):
    """Return the attempts as solutions, aimed at a host."""
    names = vars(host)
    return {
        name: _SOLUTION.format(attempt=textwrap.indent(attempt.format(**names), "    "))
        for name, attempt in ATTEMPTS.items()
    }
