// How does a browser chat? This module is the whole client: no dependencies, one file.
//
//   import { LexiconClient } from "./lexicon-client.js";
//   const chat = new LexiconClient({
//     url: "wss://chat.example.com/ws/chat",
//     getToken: async () => (await fetch("/my-backend/chat-token", { method: "POST" })).text(),
//     onChange: (message, transcript) => draw(transcript.ordered()),
//     onState: ({ state }) => console.log(state),
//   });
//   chat.connect();
//   chat.send("How long does shipping take?");
//
// LexiconClient talks on the WebSocket. Transcript folds its events into messages. SSEParser reads the
// customer API's streams (in node, where the customer key lives). decide and backoff say when to reconnect.

/** Seconds before the reconnects of one outage; the last one repeats. Full jitter: anything from 0 up to these. */
export const DELAYS = [1, 2, 4, 8, 16];
const PING_SECONDS = 25;
const MOST_BYTES = 1024 * 1024;
const FINAL = new Set([1009, 4400, 4403, 4404, 4410]);

/** What to do after a close: "retry", "renew" (at once, with a new token) or "stop". */
export function decide(code, { renewed = false } = {}) {
  if (code === 4401) return renewed ? "stop" : "renew";
  return FINAL.has(code) ? "stop" : "retry";
}

/** Milliseconds to wait before reconnect number `attempt`, counted from 0; with `least`, so many seconds and then some. */
export function backoff(attempt, random = Math.random, least = 0) {
  return (least + DELAYS[Math.min(attempt, DELAYS.length - 1)] * random()) * 1000;
}

/** Reads Server-Sent Events, however the network cut them: `push(bytes or text)` gives the events completed by it. */
export class SSEParser {
  #decoder = new TextDecoder();
  /** The last line, as far as it has come. */
  #rest = [];
  #data = [];
  #afterReturn = false;
  /** The id of the last event that had one: what `Last-Event-ID` sends. */
  lastEventId = "";

  push(chunk) {
    let text = typeof chunk === "string" ? chunk : this.#decoder.decode(chunk, { stream: true });
    // A line feed that begins this read may belong to the carriage return that ended the one before.
    if (text) {
      const afterReturn = this.#afterReturn;
      this.#afterReturn = text.endsWith("\r");
      if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    }
    const lines = text.split(/\r\n|\r|\n/);
    const rest = lines.pop();
    if (lines.length) {
      lines[0] = this.#rest.join("") + lines[0];
      this.#rest = [];
    }
    this.#rest.push(rest);
    const events = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push({ id: this.lastEventId, data: this.#data.join("\n") });
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.#data.push(value);
      else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    }
    return events;
  }
}

/** The messages of a chat as its events tell of them. A character is a Unicode code point, as on the wire. */
export class Transcript {
  /** The last sequence received: what `?after=` sends. */
  last = 0;
  /** "active", "escalated" or "closed"; null until it is known. */
  status = null;
  #messages = new Map();

  get(id) {
    return this.#messages.get(id);
  }

  /** All messages as one reads them: each reply below the message it answers, what is not sent yet last. */
  ordered() {
    const place = (message) => {
      const question = this.#messages.get(message.replyTo) ?? message;
      return [question.sequence ?? message.sequence ?? Infinity, message.role === "user" ? 0 : 1];
    };
    return [...this.#messages.values()]
      .map((message) => [place(message), message])
      .sort(([[a, c]], [[b, d]]) => (a === b ? c - d : a < b ? -1 : 1))
      .map(([, message]) => message);
  }

  /** Messages that were sent and not acknowledged yet, oldest first. */
  pending() {
    return [...this.#messages.values()].filter((message) => message.state === "sending");
  }

  /** A message of this client's own that is on its way. */
  compose(content, clientMessageId, metadata) {
    const message = { ...blank(clientMessageId, "user"), content, clientMessageId, metadata, state: "sending" };
    this.#messages.set(clientMessageId, message);
    return message;
  }

  /** Take an event in. The message it changed, or null; `{gap: true}` where characters are missing. */
  apply(event) {
    switch (event.event_type) {
      case "message_received":
        return this.#received(event);
      case "message_stream_started":
        return this.#started(event);
      case "message_stream_token":
        return this.#token(event);
      case "message_stream_ended":
        return this.#ended(event);
      case "message_rated":
        return this.#rated(event);
      case "connection_established":
      case "chat_status_changed":
        this.status = event.status;
        return null;
      case "error":
        return this.#refused(event);
      default:
        return null;
    }
  }

  #received(event) {
    const given = event.client_message_id;
    const message = this.#messages.get(event.message_id) ?? this.#messages.get(given) ?? blank(event.message_id, "user");
    this.#messages.delete(given);
    Object.assign(message, { id: event.message_id, userId: event.user_id, content: event.content, state: "done" });
    return this.#numbered(message, event.sequence);
  }

  #started(event) {
    const message = this.#messages.get(event.message_id) ?? blank(event.message_id, "assistant");
    // A start told again, resumed, is followed by the text from its beginning.
    Object.assign(message, { replyTo: event.reply_to, content: "", length: 0, state: "streaming" }, author(event));
    this.#messages.set(message.id, message);
    return message;
  }

  #token(event) {
    const message = this.#messages.get(event.message_id);
    if (message?.state !== "streaming") return null;
    const characters = [...event.token];
    const known = message.length - event.offset;
    if (known < 0) return { gap: true };
    if (known > 0) characters.splice(0, known);
    message.content += characters.join("");
    message.length += characters.length;
    return message;
  }

  #ended(event) {
    const message = this.#messages.get(event.message_id) ?? blank(event.message_id, "assistant");
    Object.assign(message, author(event), {
      replyTo: event.reply_to,
      content: event.content,
      metadata: event.metadata,
      rating: event.metadata.rating ?? null,
      stopped: Boolean(event.stopped),
      failed: Boolean(event.failed),
      state: "done",
    });
    return this.#numbered(message, event.sequence);
  }

  #rated(event) {
    const message = this.#messages.get(event.message_id);
    return message ? Object.assign(message, { rating: event.rating }) : null;
  }

  #refused(event) {
    const message = this.#messages.get(event.details?.client_message_id);
    // What is refused for a moment only stays on its way.
    if (message?.state !== "sending" || event.error_code === "SERVICE_UNAVAILABLE") return null;
    return Object.assign(message, { state: "refused", error: event.error_message });
  }

  #numbered(message, sequence) {
    message.sequence = sequence;
    this.last = Math.max(this.last, sequence);
    this.#messages.set(message.id, message);
    return message;
  }
}

/**
 * A chat that stays connected.
 *
 * Options: url (of /ws/chat), getToken (async, gives a fresh chat token; an error with `final: true` ends all, one with
 * `retryAfter` is tried again after so many seconds), and callbacks, none of which is needed:
 *   onChange(message, transcript)  a message is new or has changed
 *   onStatus(status)               how the chat stands (on connecting too): "active", "escalated", "closed"
 *   onState({state, code, delay})  "connecting", "open" (all that was missed is told), "waiting" (`delay` milliseconds;
 *                                  with `retryAfter`, in seconds, where the server said how long), "closed"
 *   onEvent(event)                 every event, as it came
 * `environment` replaces WebSocket, setTimeout, clearTimeout and random in tests.
 */
export class LexiconClient {
  transcript = new Transcript();
  state = "closed";
  #options;
  #env;
  #socket = null;
  #timer = null;
  #pings = null;
  #attempt = 0;
  #renewed = false;
  #heard = false;
  #wanted = false;
  /** Seconds that the server asked for before it closed this connection. */
  #retryAfter = 0;

  constructor(options, environment = {}) {
    this.#options = options;
    this.#env = {
      WebSocket: globalThis.WebSocket,
      setTimeout: (...args) => globalThis.setTimeout(...args),
      clearTimeout: (timer) => globalThis.clearTimeout(timer),
      random: Math.random,
      ...environment,
    };
  }

  /** Connect, and stay so until `close()` or a refusal that no retry would change. */
  connect() {
    this.#wanted = true;
    if (this.#socket === null) this.#open();
  }

  /** Leave. Replies go on without us. */
  close() {
    this.#wanted = false;
    this.#drop();
    this.#enter("closed", { code: 1000 });
  }

  /** Do not wait any longer: the network is back. */
  retryNow() {
    if (this.state === "waiting") this.#open();
  }

  /** Send a message, now or when connected again; once, however often it must be repeated. */
  send(content, metadata) {
    const message = this.transcript.compose(content, randomId(), metadata);
    if (new TextEncoder().encode(frameOf(message)).length > MOST_BYTES) {
      Object.assign(message, { state: "refused", error: "The message is too long" });
    } else if (this.state === "open") {
      this.#socket.send(frameOf(message));
    }
    this.#options.onChange?.(message, this.transcript);
    return message;
  }

  /** Stop the reply being written or, with an id, only that one. */
  stop(messageId) {
    this.#tell({ action: "stop", ...(messageId && { message_id: messageId }) });
  }

  /** Say what you think of a reply of the agent: "up", "down", or null to take it back. Only while connected. */
  rate(messageId, rating) {
    this.#tell({ action: "rate", message_id: messageId, rating });
  }

  /** Ask whether the server is there; a `pong` event answers. */
  ping() {
    this.#tell({ action: "ping" });
  }

  #tell(frame) {
    if (this.state === "open") this.#socket.send(JSON.stringify(frame));
  }

  async #open() {
    this.#drop();
    // Stands for this attempt until its socket does: whoever finds another one in its place was overtaken.
    const attempt = (this.#socket = { close() {} });
    this.#retryAfter = 0;
    this.#enter("connecting");
    let token;
    try {
      token = await this.#options.getToken();
    } catch (error) {
      if (this.#socket !== attempt) return;
      this.#retryAfter = error?.retryAfter ?? 0;
      this.#lost(error?.final ? 4403 : 1006);
      return;
    }
    if (this.#socket !== attempt) return;
    const url = new URL(this.#options.url);
    url.searchParams.set("token", token);
    url.searchParams.set("after", this.transcript.last);
    const socket = (this.#socket = new this.#env.WebSocket(url.href));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    this.#watch(socket);
  }

  #hear(event) {
    this.#heard = true;
    // Of a message that was refused it says nothing about the connection.
    if (event.event_type === "error" && this.state === "connecting") this.#retryAfter = event.details?.retry_after ?? 0;
    this.#options.onEvent?.(event);
    if (event.event_type === "replay_ended") {
      // More was missed than is told at once: the next part follows the last sequence.
      if (!event.complete) return this.#open();
      this.#attempt = 0;
      this.#renewed = false;
      this.#enter("open");
      for (const message of this.transcript.pending()) this.#socket.send(frameOf(message));
    }
    if (event.error_code === "SERVICE_UNAVAILABLE" && this.state === "open") this.#repeat(event.details);
    const changed = this.transcript.apply(event);
    if (changed?.gap) return this.#lost(1006);
    if (changed) this.#options.onChange?.(changed, this.transcript);
    if (event.status) this.#options.onStatus?.(event.status);
  }

  /** Send a message again that was refused for a moment. The next connection, if it comes first, does so by itself. */
  #repeat({ client_message_id: id, retry_after: seconds }) {
    const socket = this.#socket;
    this.#env.setTimeout(() => {
      const message = this.transcript.pending().find(({ clientMessageId }) => clientMessageId === id);
      if (message && socket === this.#socket) socket.send(frameOf(message));
    }, backoff(0, this.#env.random, seconds));
  }

  /** A connection that says nothing any more, not even `pong`, is lost, whatever the browser believes. */
  #watch(socket) {
    this.#heard = true;
    const look = () => {
      if (socket !== this.#socket) return;
      if (!this.#heard) return this.#lost(1006);
      this.#heard = false;
      this.ping();
      this.#pings = this.#env.setTimeout(look, PING_SECONDS * 1000);
    };
    this.#pings = this.#env.setTimeout(look, PING_SECONDS * 1000);
  }

  #lost(code) {
    this.#drop();
    const next = this.#wanted ? decide(code, { renewed: this.#renewed }) : "stop";
    if (next === "stop") {
      this.#wanted = false;
      this.#enter("closed", { code });
    } else if (next === "renew") {
      this.#renewed = true;
      this.#open();
    } else {
      const retryAfter = this.#retryAfter;
      const delay = backoff(this.#attempt++, this.#env.random, retryAfter);
      this.#enter("waiting", { code, delay, ...(retryAfter && { retryAfter }) });
      this.#timer = this.#env.setTimeout(() => this.#open(), delay);
    }
  }

  #drop() {
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#pings);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #enter(state, more = {}) {
    this.state = state;
    this.#options.onState?.({ state, ...more });
  }
}

function blank(id, role) {
  return { id, role, sequence: null, content: "", length: 0, replyTo: null, state: "done" };
}

function author({ author, author_name: authorName }) {
  return author === "human" ? { author, authorName } : {};
}

function frameOf({ content, clientMessageId, metadata }) {
  return JSON.stringify({ content, client_message_id: clientMessageId, ...(metadata && { metadata }) });
}

// crypto.randomUUID is only there on https and localhost.
function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
