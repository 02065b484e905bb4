#!/usr/bin/env python3
"""A minimal worker for muster, with nothing but the standard library.

An author writes `Worker`: what to do at the start, with a task, and at the end. Everything below it is the wire: ACP (JSON-RPC 2.0, a message a line on
standard input and output) and the agent tools over MCP. docs/workers.md says what each message means.
"""

import json
import os
import pathlib
import sys
import threading
import urllib.request


class Worker:
    """What an author writes."""

    def init(self, ctx):
        """Called once for a session, new or taken up again; `ctx` has `session`, `cwd`, `stream`, `call` and `cancelled`."""
        self.ctx = ctx

    def on_task(self, text):
        """Does the task; what it returns is the summary of the result, or nothing when it was cancelled."""
        self.ctx.stream("I have read the task.")
        if "[conformance hold]" in text:
            self.ctx.cancelled.wait()
            return None
        with open(os.path.join(self.ctx.cwd, "worker.txt"), "a", encoding="utf-8") as file:
            file.write("done\n")
        return "It is done."

    def shutdown(self):
        """Called once at the end."""


class Context:
    """A session, as the worker sees it."""

    def __init__(self, wire, session, cwd, server):
        self.wire, self.session, self.cwd, self.server = wire, session, cwd, server
        self.cancelled = threading.Event()
        self.calls = 0

    def stream(self, text):
        """Tells what is being done, for the transcript."""
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        self.wire.send({"method": "session/update", "params": {"sessionId": self.session, "update": update}})

    def call(self, tool, arguments):
        """Calls an agent tool. The id makes a call that is sent twice count once."""
        self.calls += 1
        meta = {"muster/callId": f"{self.session}/{os.getpid()}/{self.calls}"}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        result = self.request("tools/call", params)
        if result.get("isError"):
            raise RuntimeError(result["content"][0]["text"])
        return result

    def request(self, method, params):
        """One request over HTTP; the server keeps no session, so that no handshake is needed."""
        body = json.dumps({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers.update({header["name"]: header["value"] for header in self.server["headers"]})
        with urllib.request.urlopen(urllib.request.Request(self.server["url"], body, headers)) as answer:
            text = answer.read().decode()
        if text.lstrip().startswith("{"):
            answers = [text]
        else:
            answers = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        for answer in answers:
            if not answer.strip():
                continue
            message = json.loads(answer)
            if "error" in message:
                raise RuntimeError(message["error"]["message"])
            if "result" in message:
                return message["result"]
        raise RuntimeError("the tool did not answer")


class Wire:
    """ACP on standard input and output."""

    def __init__(self, worker):
        self.worker, self.lock, self.ctx = worker, threading.Lock(), None
        self.folder = pathlib.Path.home() / ".worker"

    def send(self, message):
        with self.lock:
            print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def serve(self):
        for line in sys.stdin:
            try:
                message = json.loads(line)
                method = message.get("method")
            except (ValueError, AttributeError):
                self.send({"id": None, "error": {"code": -32700, "message": "this is not JSON"}})
                continue
            if method is None:
                continue
            self.take(method, message.get("id"), message.get("params") or {})
        if self.ctx:
            self.ctx.cancelled.set()
            self.worker.shutdown()

    def take(self, method, id, params):
        if method == "initialize":
            capabilities = {"loadSession": True, "mcpCapabilities": {"http": True}}
            self.send({"id": id, "result": {"protocolVersion": 1, "agentCapabilities": capabilities,
                                            "agentInfo": {"name": "worker.py", "version": "1"}}})
        elif method == "session/new":
            self.folder.mkdir(exist_ok=True)
            session = f"s{len(list(self.folder.iterdir())) + 1}"
            (self.folder / session).touch()
            self.open(session, params)
            self.send({"id": id, "result": {"sessionId": session}})
        elif method == "session/load":
            if not (self.folder / os.path.basename(params["sessionId"])).exists():
                self.send({"id": id, "error": {"code": -32602, "message": "there is no such session"}})
                return
            self.open(params["sessionId"], params)
            self.send({"id": id, "result": {}})
        elif method == "session/prompt":
            text = "\n".join(block.get("text", "") for block in params["prompt"])
            threading.Thread(target=self.turn, args=(id, text), daemon=True).start()
        elif method == "session/cancel":
            self.ctx.cancelled.set()
        elif id is not None:
            self.send({"id": id, "error": {"code": -32601, "message": f"{method} is not known here"}})

    def open(self, session, params):
        self.ctx = Context(self, session, params["cwd"], params["mcpServers"][0])
        self.worker.init(self.ctx)

    def turn(self, id, text):
        ctx = self.ctx
        ctx.cancelled.clear()
        try:
            summary = self.worker.on_task(text)
            if summary and not ctx.cancelled.is_set():
                ctx.call("submit_result", {"summary": summary})
            stop = "cancelled" if ctx.cancelled.is_set() else "end_turn"
            self.send({"id": id, "result": {"stopReason": stop}})
        except Exception as error:  # the turn ends, whatever goes wrong in it
            self.send({"id": id, "error": {"code": -32603, "message": str(error)}})


if __name__ == "__main__":
    Wire(Worker()).serve()
