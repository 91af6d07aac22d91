#!/usr/bin/env python3
"""A plugin that does one thing wrong: the one that its first argument names."""
import base64, json, os, signal, sys, time

MODE, LOG = sys.argv[1], os.path.join(os.path.dirname(os.path.abspath(__file__)), "log")
METHODS = ["environmentAcquireLease", "environmentResumeLease", "environmentReleaseLease", "environmentDestroyLease",
           "environmentObserve", "environmentExtendLease", "environmentExecute", "environmentCancel", "environmentProbe",
           "environmentListExecutions"]


def raw(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(message):
    raw(json.dumps(dict(message, jsonrpc="2.0")))


def output(p, offset, data):
    say({"method": "execute.output", "params": {"executionId": p["executionId"], "stream": "stdout", "offset": offset,
                                                "dataBase64": base64.b64encode(data).decode()}})


def acquire(id, p):
    if MODE == "crash-call":
        sys.stderr.write("about to fall with %s\n" % p["config"].get("token"))
        sys.stderr.flush()
        os._exit(9)
    if MODE in ("hang", "stubborn"):
        time.sleep(600)
    if MODE == "late":
        time.sleep(0.8)
    if MODE == "garbage":
        for i in range(5):
            raw("hello %d" % i)
    if MODE == "garbage-flood":
        while True:
            raw("hello")
    if MODE == "flood":
        while True:
            say({"method": "nobody.knows", "params": {}})
    if MODE == "huge":
        raw("x" * (9 << 20))
    if MODE == "wrong-id":
        say({"id": id + 1000, "result": {"providerLeaseId": "wrong"}})
        say({"id": "text", "result": {}})
    if MODE == "odd-answer":
        return {"providerLeaseId": 7}
    if MODE == "secret-error":
        sys.stderr.write("x" * 100000 + p["config"]["token"])
        sys.stderr.flush()
        raise ValueError("no entry with %s" % p["config"]["token"])
    if MODE == "refuse":
        say({"id": id, "error": {"code": -32001, "message": "no room", "data": {"code": "lease_acquire_failed",
                                                                              "hint": "ask for less"}}})
        return None
    if MODE == "pending":
        return {"pending": {"reason": "all taken", "position": 4, "expectedAt": "2030-01-01T00:00:00Z"},
                "providerLeaseId": "later"}
    if MODE == "dump":
        fds = sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n))
        with open("/proc/self/cmdline", "rb") as file:
            argv = file.read().decode()
        return {"providerLeaseId": "dumped", "metadata": {
            "env": dict(os.environ), "argv": argv, "fds": fds, "token_length": len(p["config"]["token"]),
            "token": p["config"]["token"], "group": os.getpgid(0) == os.getpid()}}
    return {"providerLeaseId": "place-" + p["leaseId"]}


def execute(id, p):
    if MODE == "die-in-execute":
        output(p, 0, b"half ")
        os._exit(3)
    if MODE == "hole":
        output(p, 0, b"one")
        output(p, 10, b"two")
    if MODE == "lost":
        output(p, 0, b"one")
        return {"exitCode": 0, "signal": None, "stdoutBytes": 7, "stderrBytes": 0}
    if MODE == "twice":
        output(p, 0, b"one two")
        output(p, 4, b"two three")
    if MODE == "no-end":
        return {}
    return {"exitCode": 0, "signal": None}


with open(LOG, "a") as log:
    log.write("%d\n" % os.getpid())
if MODE == "crash-start":
    sys.stderr.write("cannot find my heart\n")
    sys.exit(7)
if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in iter(sys.stdin.readline, "") if MODE != "stubborn" else iter(lambda: sys.stdin.readline() or time.sleep(60) or " ", ""):
    try:
        request = json.loads(line)
    except ValueError:
        continue
    if "id" not in request:
        continue
    id, method, p = request["id"], request["method"], request.get("params") or {}
    if method == "initialize":
        if MODE == "mute":
            continue
        if MODE in ("begin-fails", "begin-refuses"):
            said = "try later with %s" % p["config"]["token"] if MODE == "begin-fails" else "no licence"
            say({"id": id, "error": {"code": -32002 if MODE == "begin-fails" else -32001, "message": said}})
            continue
        if MODE == "begin-nonsense":
            say({"id": id, "result": {"apiVersion": 1, "drivers": 7}})
            continue
        driver = {"driverKey": "bad", "resumesExecutions": False}
        methods = {"little": ["environmentAcquireLease"],
                   "destroys": ["environmentAcquireLease", "environmentDestroyLease"]}.get(MODE, METHODS)
        version = 7 if MODE == "other-version" else 1
        answer = {"apiVersion": version, "name": "bad", "drivers": [driver], "supportedMethods": methods}
    elif method == "environmentDestroyLease" and MODE == "destroys":
        with open(LOG + ".destroyed", "a") as log:
            log.write(p["lease"]["leaseId"] + "\n")
        answer = {}
    elif method == "health":
        answer = {"ok": True}
    elif method == "shutdown":
        answer = None
        if MODE != "stubborn":
            say({"id": id, "result": None})
            sys.exit(0)
    elif method in ("environmentAcquireLease", "environmentExecute"):
        try:
            answer = (acquire if method == "environmentAcquireLease" else execute)(id, p)
        except ValueError as error:
            say({"id": id, "error": {"code": -32002, "message": str(error)}})
            continue
        if answer is None:
            continue
    else:
        say({"id": id, "error": {"code": -32004, "message": "no"}})
        continue
    say({"id": id, "result": answer})
