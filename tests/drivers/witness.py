#!/usr/bin/env python3
"""The example plugin, watched: every call is noted in a file, and orders beside it say what is to go wrong.

  witness/calls           one JSON object a line: method, lease, provider id, what came of it
  witness/orders/<call>/  one file for each call that goes wrong, taken in the order of their names:
                          {"refuse": why} {"fail": why} {"late": seconds} {"dies": true} {"garbage": true}
                          and, with any of them, "after": true to do the work first
"""
import importlib.util, json, os, sys, time

# Beside the example, so that its runner is the example's own.
example = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("places", example)
places = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(places)


def directory(p):
    return os.path.join(os.path.dirname(places.root(p)), "witness")


def note(p, entry):
    os.makedirs(directory(p), exist_ok=True)
    # One write to the end of the file: lines of several processes stay whole.
    out = os.open(os.path.join(directory(p), "calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(out, (json.dumps(entry) + "\n").encode())
    os.close(out)


def order(p, method):
    """The next thing that is to go wrong with this call; each is taken once."""
    orders = os.path.join(directory(p), "orders", method)
    for name in sorted(os.listdir(orders)) if os.path.isdir(orders) else []:
        path = os.path.join(orders, name)
        try:
            with open(path) as file:
                told = json.load(file)
            os.remove(path)
            return told
        except FileNotFoundError:
            continue  # another one took it
    return {}


def watched(method, work):
    def call(p):
        lease = p.get("lease") or p
        entry = {"method": method, "lease": lease.get("leaseId"), "place": lease.get("providerLeaseId"),
                 "outcome": p.get("outcome"), "execution": p.get("executionId"), "pid": os.getpid()}
        told = order(p, method)
        note(p, dict(entry, at="begun", told=told))
        result = work(p) if told.get("after") or not told or "late" in told else None
        if "late" in told:
            time.sleep(told["late"])
        if told.get("dies"):
            os._exit(9)
        if told.get("garbage"):
            with places.said:
                sys.stdout.write("this is no message\n")
                sys.stdout.flush()
        if "refuse" in told:
            raise places.Refusal(told["refuse"])
        if "fail" in told:
            raise OSError(told["fail"])
        note(p, dict(entry, at="done", provider=(result or {}).get("providerLeaseId")))
        return result
    return call


for name, work in list(places.METHODS.items()):
    places.METHODS[name] = watched(name, work)

for line in sys.stdin:
    request = json.loads(line)
    if "id" in request and "method" in request:
        places.threading.Thread(target=places.handle, args=(request,), daemon=True).start()
os._exit(0)
