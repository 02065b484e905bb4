#!/usr/bin/env node
// A minimal worker for muster, with nothing but Node's own modules.
//
// An author writes `worker`: what to do at the start, with a task, and at the end. Everything below it is the wire: ACP (JSON-RPC 2.0, a message a line on
// standard input and output) and the agent tools over MCP. docs/workers.md says what each message means.

import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

/** What an author writes. */
const worker = {
  /** Called once for a session, new or taken up again. */
  init(ctx) {
    this.ctx = ctx;
  },
  /** Does the task; what it returns is the summary of the result, or nothing when it was cancelled. */
  async onTask(text) {
    this.ctx.stream("I have read the task.");
    if (text.includes("[conformance hold]")) {
      await this.ctx.cancelled();
      return null;
    }
    appendFileSync(join(this.ctx.cwd, "worker.txt"), "done\n");
    return "It is done.";
  },
  /** Called once at the end. */
  shutdown() {},
};

const folder = join(process.env.HOME, ".worker");

function send(message) {
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
}

/** A session, as the worker sees it. */
class Context {
  constructor(session, cwd, server) {
    Object.assign(this, { session, cwd, server, calls: 0 });
    this.begin();
  }

  begin() {
    this.aborter = new AbortController();
  }

  get isCancelled() {
    return this.aborter.signal.aborted;
  }

  /** Resolves when the turn is to end. */
  cancelled() {
    const { signal } = this.aborter;
    return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", resolve)));
  }

  /** Tells what is being done, for the transcript. */
  stream(text) {
    const update = { sessionUpdate: "agent_message_chunk", content: { type: "text", text } };
    send({ method: "session/update", params: { sessionId: this.session, update } });
  }

  /** Calls an agent tool. The id makes a call that is sent twice count once. */
  async call(name, args) {
    this.calls += 1;
    const meta = { "muster/callId": `${this.session}/${process.pid}/${this.calls}` };
    const body = { jsonrpc: "2.0", id: this.calls, method: "tools/call", params: { name, arguments: args, _meta: meta } };
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
    for (const { name: key, value } of this.server.headers) headers[key] = value;
    const answer = await fetch(this.server.url, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await answer.text();
    const parts = text.trimStart().startsWith("{")
      ? [text]
      : text.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
    const message = parts.filter((part) => part.trim()).map((part) => JSON.parse(part)).find((part) => part.id === this.calls);
    if (!message || message.error) throw new Error(message?.error?.message ?? "the tool did not answer");
    if (message.result.isError) throw new Error(message.result.content[0].text);
    return message.result;
  }
}

let ctx = null;

function open(session, params) {
  ctx = new Context(session, params.cwd, params.mcpServers[0]);
  worker.init(ctx);
}

async function turn(id, text) {
  const mine = ctx;
  mine.begin();
  try {
    const summary = await worker.onTask(text);
    if (summary && !mine.isCancelled) await mine.call("submit_result", { summary });
    send({ id, result: { stopReason: mine.isCancelled ? "cancelled" : "end_turn" } });
  } catch (error) {
    send({ id, error: { code: -32603, message: String(error.message) } });
  }
}

function take({ method, id, params = {} }) {
  switch (method) {
    case "initialize": {
      const agentCapabilities = { loadSession: true, mcpCapabilities: { http: true } };
      send({ id, result: { protocolVersion: 1, agentCapabilities, agentInfo: { name: "worker.mjs", version: "1" } } });
      break;
    }
    case "session/new": {
      mkdirSync(folder, { recursive: true });
      const session = `s${readdirSync(folder).length + 1}`;
      writeFileSync(join(folder, session), "");
      open(session, params);
      send({ id, result: { sessionId: session } });
      break;
    }
    case "session/load":
      if (!existsSync(join(folder, basename(params.sessionId)))) {
        send({ id, error: { code: -32602, message: "there is no such session" } });
        break;
      }
      open(params.sessionId, params);
      send({ id, result: {} });
      break;
    case "session/prompt":
      turn(id, params.prompt.map((block) => block.text ?? "").join("\n"));
      break;
    case "session/cancel":
      ctx?.aborter.abort();
      break;
    default:
      if (method && id !== undefined) send({ id, error: { code: -32601, message: `${method} is not known here` } });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    send({ id: null, error: { code: -32700, message: "this is not JSON" } });
    return;
  }
  take(message);
});
lines.on("close", () => {
  ctx?.aborter.abort();
  worker.shutdown();
});
