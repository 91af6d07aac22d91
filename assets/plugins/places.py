#!/usr/bin/env python3
"""An example plugin of wharf: each place is a directory on this machine. Python 3.8 or newer, nothing else.

It does everything that PROTOCOL.md beside it describes, so that it can be read beside that and taken as a beginning.
Settings ([environment.config.config]): root = where places lie; slots = how many at once; max_seconds = longest life.

A place:  <root>/<id>/place.json       what is known of it
          <root>/<id>/work/            where commands run
          <root>/<id>/runs/<id>/       one execution: stdout, stderr, runner (a process number), exit.json
A command is kept by a small runner (this file again), which outlives the plugin: an execution can be followed on by
another instance, from any byte, until the place is given back.
"""
import base64, filecmp, json, os, shutil, signal, subprocess, sys, tempfile, threading, time

NOT_IMPLEMENTED, REFUSED, FAILED = -32004, -32001, -32002
CHUNK = 48 * 1024  # bytes of output in one notification
said = threading.Lock()
state_dir = tempfile.gettempdir()


class Refusal(Exception):
    """Asking again changes nothing."""


def send(message):
    line = json.dumps(dict(message, jsonrpc="2.0"))
    with said:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def moment(seconds):
    return int(seconds * 1000)  # moments may be RFC 3339 or, as here, milliseconds since 1970


def write(path, value):
    """Replaces a file at once: whoever reads it sees the old or the new, never a half."""
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


def read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def root(p):
    return p["config"].get("root") or os.path.join(state_dir, "places")


def place_of(p, provider_id=None):
    """The directory of a lease: by the id that was given out, else by the lease for which one may have been made."""
    name = provider_id or p["lease"].get("providerLeaseId") or p["lease"]["leaseId"]
    if "/" in name or name.startswith("."):
        raise Refusal("%r is no place of mine" % name)
    return os.path.join(root(p), name)


def known(place):
    """What is known of a place; None when it is not there or its time is over."""
    fact = read(os.path.join(place, "place.json"))
    if fact and fact["expiresAt"] and fact["expiresAt"] < moment(time.time()):
        remove(place)
        return None
    return fact


def remove(place):
    stop(lambda: list_processes(place, None), 0)
    shutil.rmtree(place, ignore_errors=True)
    if os.path.exists(place):
        raise OSError("%s cannot be removed" % place)


def answer(place, fact):
    return {"providerLeaseId": os.path.basename(place), "expiresAt": fact["expiresAt"],
            "metadata": {"remoteCwd": os.path.join(place, "work")}}


def acquire(p):
    place = os.path.join(root(p), p["leaseId"])  # the same lease gets the same place, however often it asks
    fact = known(place)
    if not fact:
        os.makedirs(root(p), exist_ok=True)
        taken = [d for d in os.listdir(root(p)) if known(os.path.join(root(p), d))]
        slots = p["config"].get("slots")
        if slots is not None and len(taken) >= slots:
            return {"pending": {"reason": "%d of %d places are taken" % (len(taken), slots)}}
        os.makedirs(os.path.join(place, "work"), exist_ok=True)
        os.makedirs(os.path.join(place, "runs"), exist_ok=True)
        longest = p["config"].get("max_seconds")
        now = time.time()
        fact = {"latest": longest and moment(now + longest), "expiresAt": longest and moment(now + longest)}
        write(os.path.join(place, "place.json"), fact)
    return answer(place, fact)


def resume(p):
    place = place_of(p, p["providerLeaseId"])
    fact = known(place)
    return answer(place, fact) if fact else {"providerLeaseId": None}  # null: it is certain that it is gone


def release(p):
    place = place_of(p)
    if p["outcome"] == "kept":  # laid by: nothing runs, nothing is thrown away
        stop(lambda: list_processes(place, None), 2)
    else:
        remove(place)


def extend(p):
    place = place_of(p)
    fact = known(place)
    if not fact:
        raise Refusal("the place is gone")
    if isinstance(p["until"], str):  # 2026-01-01T00:00:00.000Z
        import calendar
        whole, _, rest = p["until"].rstrip("Z").partition(".")
        until = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int((rest + "000")[:3])
    else:
        until = p["until"]
    if fact["latest"] and until > fact["latest"]:
        return {"ok": False, "latest": fact["latest"]}
    write(os.path.join(place, "place.json"), dict(fact, expiresAt=until if fact["latest"] else None))
    return {"ok": True, "expiresAt": until}


def observe(p):
    def one(name):
        fact = known(place_of(p, name))
        return {"state": "held", "expiresAt": fact["expiresAt"]} if fact else {"state": "gone"}
    return {"leases": {name: one(name) for name in p["providerLeaseIds"]}}


def files_of(top):
    """Path below `top` to (size, change) of every file but git's own."""
    found = {}
    for base, dirs, files in os.walk(top):
        dirs[:] = [d for d in dirs if d != ".git"]
        for name in files:
            path = os.path.join(base, name)
            if name != ".git" and not os.path.islink(path):
                about = os.stat(path)
                found[os.path.relpath(path, top)] = [about.st_size, about.st_mtime_ns]
    return found


def realize(p):
    place, here = place_of(p), p["workspace"]["localPath"]
    work = os.path.join(place, "work")
    if not known(place):
        raise Refusal("the place is gone")
    if not os.path.exists(os.path.join(place, "base.json")) and os.path.isdir(here):
        base = files_of(here)
        for name in base:
            os.makedirs(os.path.dirname(os.path.join(work, name)), exist_ok=True)
            shutil.copy2(os.path.join(here, name), os.path.join(work, name))
        write(os.path.join(place, "base.json"), base)
    return {"cwd": work, "sync": "provider_defined", "metadata": {"copied": here}}


def collect(p):
    place, here = place_of(p), p["workspace"]["localPath"]
    work, base = os.path.join(place, "work"), read(os.path.join(place, "base.json")) or {}
    local, brought, warnings = files_of(here), [], []
    for name in files_of(work):
        mine, theirs = os.path.join(work, name), os.path.join(here, name)
        if name in local and filecmp.cmp(mine, theirs, shallow=False):
            continue
        if local.get(name) != base.get(name):
            warnings.append("%s was changed on both sides; the place's is kept beside it" % name)
            theirs += ".from-place"
        os.makedirs(os.path.dirname(theirs), exist_ok=True)
        shutil.copy2(mine, theirs)
        brought.append(name)
    return {"changed": bool(brought), "metadata": {"files": brought[:100]}, "warnings": warnings}


def list_processes(place, tag):
    """Living processes of the executions in a place: they carry the execution's directory in their environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                env = dict(e.partition(b"=")[::2] for e in file.read().split(b"\0"))
            with open("/proc/%s/stat" % name) as file:
                comm, _, rest = file.read().partition("(")[2].rpartition(") ")
        except OSError:
            continue  # it is gone, or another user's
        run = os.fsdecode(env.get(b"PLACES_RUN", b""))
        if run.startswith(place + os.sep) and rest[0] not in "ZX" and tag in (None, read(os.path.join(run, "tag.json"))):
            found.append({"pid": int(name), "command": comm, "executionId": os.path.basename(run)})
    return found


def stop(find, grace):
    """Asks what `find` finds to end, and kills what is left after the grace; new ones are found too."""
    for number, limit in ((signal.SIGTERM, grace), (signal.SIGKILL, 2)):
        asked, end = set(), time.time() + limit
        while True:
            left = find()
            for one in left:
                if one["pid"] not in asked:
                    asked.add(one["pid"])
                    try:
                        os.kill(one["pid"], number)
                    except ProcessLookupError:
                        pass
            if not left or time.time() >= end:
                break
            time.sleep(0.02)


def cancel(p):
    place, tag, execution = place_of(p), p.get("tag"), p.get("executionId")

    def ours():
        return [one for one in list_processes(place, tag) if execution in (None, one["executionId"])]
    stop(ours, p["graceMs"] / 1000)
    return {"remaining": ours()}


def execute(p):
    place = place_of(p)
    run = os.path.join(place, "runs", os.path.basename(p["executionId"]))
    if not known(place):
        raise Refusal("the place is gone")
    try:
        os.mkdir(run)
        begun = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--run", run], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, start_new_session=True, close_fds=True)
        begun.stdin.write(json.dumps(p).encode())
        begun.stdin.close()
        threading.Thread(target=begun.wait, daemon=True).start()
    except FileExistsError:
        pass  # it was begun before: it is followed on
    sent, since = dict(p.get("fromOffset") or {"stdout": 0, "stderr": 0}), time.time()
    while True:
        ended = read(os.path.join(run, "exit.json"))
        more = False
        for stream in ("stdout", "stderr"):
            path = os.path.join(run, stream)
            if os.path.exists(path):
                with open(path, "rb") as file:
                    file.seek(sent[stream])
                    data = file.read(CHUNK)
                if data:
                    send({"method": "execute.output", "params": {
                        "executionId": p["executionId"], "stream": stream, "offset": sent[stream],
                        "dataBase64": base64.b64encode(data).decode()}})
                    sent[stream] += len(data)
                    more = True
        if ended and not more:
            return dict(ended, stdoutBytes=sent["stdout"], stderrBytes=sent["stderr"])
        runner = read(os.path.join(run, "runner.json"))
        gone = not os.path.exists("/proc/%d" % runner) if runner else time.time() > since + 5
        if gone and not read(os.path.join(run, "exit.json")):
            raise OSError("the runner of the execution is gone; its end is not known")
        if not more:
            time.sleep(0.03)


def runner(run):
    """Keeps one command until its end, whatever becomes of the plugin."""
    p = json.load(sys.stdin)
    write(os.path.join(run, "tag.json"), p.get("tag"))
    write(os.path.join(run, "runner.json"), os.getpid())
    stdin = tempfile.TemporaryFile()
    stdin.write(base64.b64decode(p.get("stdinBase64") or ""))
    stdin.seek(0)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.path.dirname(os.path.dirname(run))}
    env.update(p["env"], PLACES_RUN=run)
    with open(os.path.join(run, "stdout"), "ab") as out, open(os.path.join(run, "stderr"), "ab") as err:
        try:
            code = subprocess.Popen([p["command"]] + p["args"], cwd=p["cwd"], env=env, stdin=stdin, stdout=out,
                                    stderr=err, start_new_session=True).wait()
        except OSError as error:
            err.write(("%s: %s\n" % (p["command"], error.strerror)).encode())
            code = 127 if isinstance(error, FileNotFoundError) else 126
    end = {"exitCode": None, "signal": signal.Signals(-code).name} if code < 0 else {"exitCode": code, "signal": None}
    write(os.path.join(run, "exit.json"), end)


def validate(p):
    odd = sorted(set(p["config"]) - {"root", "slots", "max_seconds"})
    checks = [{"level": "error", "code": "config", "message": "%r is not known" % key, "hint": "remove it"} for key in odd]
    return {"ok": not checks, "checks": checks}


def probe(p):
    os.makedirs(root(p), exist_ok=True)
    free = shutil.disk_usage(root(p)).free
    return {"ok": True, "checks": [{"level": "ok", "code": "root", "message": "%s, %d MiB free" % (root(p), free >> 20)}]}


def initialize(p):
    global state_dir
    state_dir = p["instance"]["stateDir"]
    driver = {"driverKey": "places", "displayName": "Directories of this machine", "sharedFiles": False,
              "persistent": True, "resumesExecutions": True,
              "configSchema": {"type": "object", "properties": {"root": {"type": "string"}}}}
    return {"ok": True, "apiVersion": 1, "name": "places", "version": "1", "drivers": [driver],
            "supportedMethods": sorted(METHODS)}


METHODS = {
    "environmentValidateConfig": validate, "environmentProbe": probe, "environmentAcquireLease": acquire,
    "environmentResumeLease": resume, "environmentReleaseLease": release, "environmentExtendLease": extend,
    "environmentDestroyLease": lambda p: remove(place_of(p)), "environmentObserve": observe,
    "environmentRealizeWorkspace": realize, "environmentCollect": collect, "environmentExecute": execute,
    "environmentExecutionTarget": lambda p: {"dirs": [], "metadata": None}, "environmentCancel": cancel,
    "environmentListExecutions": lambda p: {"executions": list_processes(place_of(p), p.get("tag"))},
}


def handle(request):
    method, reply = request["method"], {"id": request["id"]}
    try:
        every = dict(METHODS, initialize=initialize, health=lambda p: {"ok": True}, shutdown=lambda p: None)
        if method not in every:
            raise NotImplementedError
        reply["result"] = every[method](request.get("params") or {})
    except NotImplementedError:
        reply["error"] = {"code": NOT_IMPLEMENTED, "message": "%s is not supported" % method}
    except Refusal as refusal:
        reply["error"] = {"code": REFUSED, "message": str(refusal)}
    except Exception as error:  # whatever it was, the caller must hear of it
        reply["error"] = {"code": FAILED, "message": "%s: %s" % (type(error).__name__, error)}
    send(reply)
    if method == "shutdown":
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        sys.exit(runner(sys.argv[2]))
    for line in sys.stdin:
        try:
            request = json.loads(line)
        except ValueError:
            continue  # wharf sends nothing of the kind
        if "id" in request and "method" in request:  # notifications, as cancelRequest, may be passed over
            threading.Thread(target=handle, args=(request,), daemon=True).start()
    os._exit(0)  # the end of our input: wharf is gone
