// What lexicon-client.js promises, under node: `node --test`. pytest runs this (test_client_module.py).
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  LexiconClient,
  SSEParser,
  Transcript,
  backoff,
  decide,
} from "../../clients/js/lexicon-client.js";

const STREAM = [
  'id: 1\ndata: {"type":"delta","text":"Grüße 👋🏽, "}\n\n',
  ": ping\n\n",
  'id: 2\ndata: {"type":"delta","text":"مرحبا\\n"}\n\n',
  'id: 3\ndata: {"type":"status","status":"escalated"}\n\n',
  "id: 4\ndata: [DONE]\n\n",
].join("");
const EVENTS = [
  { id: "1", data: '{"type":"delta","text":"Grüße 👋🏽, "}' },
  { id: "2", data: '{"type":"delta","text":"مرحبا\\n"}' },
  { id: "3", data: '{"type":"status","status":"escalated"}' },
  { id: "4", data: "[DONE]" },
];

for (const [name, end] of Object.entries({ LF: "\n", CRLF: "\r\n", CR: "\r" })) {
  test(`the SSE parser is right at every split point, ${name}`, () => {
    const bytes = new TextEncoder().encode(STREAM.replaceAll("\n", end));
    assert.ok(bytes.length > 150);
    for (let at = 0; at <= bytes.length; at++) {
      const parser = new SSEParser();
      const events = [...parser.push(bytes.slice(0, at)), ...parser.push(bytes.slice(at))];
      assert.deepEqual(events, EVENTS, `split at ${at}`);
      assert.equal(parser.lastEventId, "4");
    }
  });

  test(`the SSE parser is right byte by byte, ${name}`, () => {
    const parser = new SSEParser();
    const bytes = new TextEncoder().encode(STREAM.replaceAll("\n", end));
    assert.deepEqual([...bytes].flatMap((byte) => parser.push(Uint8Array.of(byte))), EVENTS);
  });
}

test("the SSE parser joins the data lines of one event, and strips one space at most", () => {
  assert.deepEqual(new SSEParser().push("data:  a\ndata:b\ndata\n\n"), [{ id: "", data: " a\nb\n" }]);
});

test("an SSE event that was cut off is none", () => {
  assert.deepEqual(new SSEParser().push("id: 1\ndata: half\n"), []);
});

const received = (sequence, content, more = {}) => ({
  event_type: "message_received", message_id: `q${sequence}`, user_id: "alice", content, sequence, ...more,
});
const started = (id, to, more = {}) => ({ event_type: "message_stream_started", message_id: id, reply_to: to, ...more });
const token = (id, offset, text) => ({ event_type: "message_stream_token", message_id: id, offset, token: text });
const ended = (id, to, sequence, content, more = {}) => ({
  event_type: "message_stream_ended", message_id: id, reply_to: to, sequence, content, metadata: {}, ...more,
});
function fold(...events) {
  const transcript = new Transcript();
  for (const event of events) transcript.apply(event);
  return transcript;
}

test("tokens add up, and the end has the last word", () => {
  const transcript = fold(received(1, "hi"), started("r", "q1"), token("r", 0, "a👋"), token("r", 2, "b"));
  assert.equal(transcript.get("r").content, "a👋b");
  assert.equal(transcript.get("r").state, "streaming");
  transcript.apply(ended("r", "q1", 2, "a👋bc"));
  assert.equal(transcript.get("r").content, "a👋bc");
  assert.equal(transcript.get("r").state, "done");
  assert.equal(transcript.last, 2);
});

test("a rating comes with the reply, and changes alone", () => {
  const transcript = fold(received(1, "hi"), ended("r", "q1", 2, "a", { metadata: { rating: "down" } }));
  assert.equal(transcript.get("r").rating, "down");
  const changed = transcript.apply({ event_type: "message_rated", message_id: "r", rating: null });
  assert.equal(changed, transcript.get("r"));
  assert.deepEqual([changed.rating, changed.content, transcript.last], [null, "a", 2]);
  assert.equal(transcript.apply({ event_type: "message_rated", message_id: "unknown", rating: "up" }), null);
});

test("the status is known from the first event on", () => {
  assert.equal(fold({ event_type: "connection_established", status: "escalated" }).status, "escalated");
});

test("a start told again replaces the text", () => {
  const transcript = fold(started("r", "q1"), token("r", 0, "first try"), started("r", "q1", { resumed: true }));
  assert.equal(transcript.get("r").content, "");
  transcript.apply(token("r", 0, "second"));
  assert.equal(transcript.get("r").content, "second");
});

test("characters that are known already are not added again", () => {
  const transcript = fold(started("r", "q1"), token("r", 0, "👋ab"), token("r", 1, "abc"), token("r", 0, "👋"));
  assert.equal(transcript.get("r").content, "👋abc");
});

test("missing characters are noticed", () => {
  const transcript = fold(started("r", "q1"), token("r", 0, "ab"));
  assert.deepEqual(transcript.apply(token("r", 3, "d")), { gap: true });
  assert.equal(transcript.get("r").content, "ab");
});

test("a reply stands below the message it answers, whatever was said meanwhile", () => {
  const transcript = fold(received(1, "one"), started("r1", "q1"), received(2, "two"), ended("r1", "q1", 3, "1"));
  transcript.apply(started("r2", "q2"));
  transcript.compose("three", "mine");
  assert.deepEqual(transcript.ordered().map(({ id }) => id), ["q1", "r1", "q2", "r2", "mine"]);
});

test("an acknowledgement turns the message on its way into the one in the chat", () => {
  const transcript = new Transcript();
  const mine = transcript.compose("hi", "c1");
  assert.equal(transcript.apply(received(1, "hi", { client_message_id: "c1" })), mine);
  assert.deepEqual([mine.id, mine.state, mine.sequence], ["q1", "done", 1]);
  assert.equal(transcript.ordered().length, 1);
  transcript.apply(received(1, "hi", { client_message_id: "c1" }));
  assert.equal(transcript.ordered().length, 1);
});

test("a refused message says why, and is not sent again", () => {
  const transcript = new Transcript();
  const mine = transcript.compose("hi", "c1");
  const details = { client_message_id: "c1" };
  transcript.apply({ event_type: "error", error_code: "PAYMENT_REQUIRED", error_message: "No credits", details });
  assert.deepEqual([mine.state, mine.error, transcript.pending()], ["refused", "No credits", []]);
});

test("a person's reply has their name", () => {
  const transcript = fold(ended("p", null, 1, "Hello", { author: "human", author_name: "Ada" }));
  assert.deepEqual([transcript.get("p").author, transcript.get("p").authorName], ["human", "Ada"]);
});

test("the close code decides", () => {
  for (const code of [4400, 4403, 4404, 4410, 1009]) assert.equal(decide(code), "stop", `${code}`);
  for (const code of [1000, 1001, 1006, 1011, 1012, 1013, 4429, 4500]) assert.equal(decide(code), "retry", `${code}`);
  assert.equal(decide(4401), "renew");
  assert.equal(decide(4401, { renewed: true }), "stop");
});

test("the wait is anything up to 1, 2, 4, 8, 16 seconds", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 99].map((attempt) => backoff(attempt, () => 1)),
    [1000, 2000, 4000, 8000, 16000, 16000, 16000]);
  assert.equal(backoff(3, () => 0), 0);
  assert.deepEqual([backoff(0, () => 0, 30), backoff(0, () => 1, 30)], [30_000, 31_000]);
});

/** A client on sockets and timers that do what the test says. */
function scene({ getToken = async () => "token", ...options } = {}) {
  const sockets = [];
  const timers = new Map();
  const states = [];
  let tokens = 0;
  class FakeSocket {
    sent = [];
    constructor(url) {
      this.url = new URL(url);
      sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
    }
    tell(event) {
      this.onmessage({ data: JSON.stringify(event) });
    }
    greet(complete = true) {
      this.tell({ event_type: "connection_established" });
      this.tell({ event_type: "replay_ended", complete });
    }
  }
  const client = new LexiconClient(
    {
      url: "wss://chat.test/ws/chat",
      getToken: () => (tokens++, getToken(tokens)),
      onState: (state) => states.push(state),
      ...options,
    },
    {
      WebSocket: FakeSocket,
      setTimeout: (callback, delay) => {
        const timer = Symbol(delay);
        timers.set(timer, [delay, callback]);
        return timer;
      },
      clearTimeout: (timer) => timers.delete(timer),
      random: () => 1,
    },
  );
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    client, sockets, states, settle,
    tokens: () => tokens,
    delays: () => [...timers.values()].map(([delay]) => delay),
    async connected() {
      client.connect();
      await settle();
      sockets.at(-1).greet();
      return sockets.at(-1);
    },
    /** Let the timer of so many milliseconds go off. */
    async fire(delay) {
      const [timer, [, callback]] = [...timers].find(([, [other]]) => other === delay);
      timers.delete(timer);
      callback();
      await settle();
    },
    /** Let the one timer there is go off. */
    async ring() {
      assert.equal(timers.size, 1);
      const [[timer, [, callback]]] = timers;
      timers.delete(timer);
      callback();
      await settle();
    },
  };
}

test("an outage is waited out longer and longer, and forgotten once connected", async () => {
  const { client, sockets, ring, delays, settle } = scene();
  client.connect();
  await settle();
  const waited = [];
  for (let outage = 0; outage < 6; outage++) {
    sockets.at(-1).onclose({ code: 1006 });
    waited.push(...delays());
    await ring();
  }
  assert.deepEqual(waited, [1000, 2000, 4000, 8000, 16000, 16000]);
  sockets.at(-1).greet();
  sockets.at(-1).onclose({ code: 1012 });
  assert.deepEqual(delays(), [1000]);
});

test("it comes back with the last sequence, and with a fresh token", async () => {
  const { connected, sockets, ring, tokens } = scene({ getToken: async (count) => `token-${count}` });
  const first = await connected();
  assert.equal(first.url.searchParams.get("after"), "0");
  first.tell(received(1, "hi"));
  first.tell(ended("r", "q1", 2, "hello"));
  first.onclose({ code: 1012 });
  await ring();
  assert.equal(sockets[1].url.searchParams.get("after"), "2");
  assert.equal(sockets[1].url.searchParams.get("token"), "token-2");
  assert.equal(tokens(), 2);
});

test("what was not acknowledged is sent again, the same, once all that was missed is told", async () => {
  const { client, connected, sockets, ring } = scene();
  const first = await connected();
  client.send("one");
  client.send("two");
  first.tell(received(1, "one", { client_message_id: first.sent[0].client_message_id }));
  first.onclose({ code: 1006 });
  client.send("three");
  await ring();
  const second = sockets[1];
  second.tell({ event_type: "connection_established" });
  assert.deepEqual(second.sent, []);
  second.tell({ event_type: "replay_ended", complete: true });
  assert.deepEqual(second.sent.map(({ content }) => content), ["two", "three"]);
  assert.deepEqual(second.sent[0], first.sent[1]);
});

test("what the replay acknowledges is not sent again", async () => {
  const { client, connected, sockets, ring } = scene();
  const first = await connected();
  client.send("one");
  first.onclose({ code: 1006 });
  await ring();
  sockets[1].tell(received(1, "one", { client_message_id: first.sent[0].client_message_id }));
  sockets[1].greet();
  assert.deepEqual(sockets[1].sent, []);
});

const unavailable = (id) => ({
  event_type: "error",
  error_code: "SERVICE_UNAVAILABLE",
  error_message: "For a moment",
  details: { client_message_id: id, retry_after: 2 },
});

test("a message that is refused for a moment stays on its way, and is sent again after that", async () => {
  const { client, connected, fire } = scene();
  const socket = await connected();
  const mine = client.send("one");
  socket.tell(unavailable(mine.clientMessageId));
  assert.equal(mine.state, "sending");
  await fire(3000);
  assert.deepEqual(socket.sent.map(({ content }) => content), ["one", "one"]);
  assert.deepEqual(socket.sent[0], socket.sent[1]);
});

test("a message that a server refuses because it stops is sent once on the next connection", async () => {
  const { client, connected, sockets, fire } = scene();
  const first = await connected();
  const mine = client.send("one");
  first.tell(unavailable(mine.clientMessageId));
  first.onclose({ code: 1012 });
  await fire(1000);
  sockets[1].greet();
  await fire(3000);
  assert.deepEqual(sockets[1].sent.filter(({ content }) => content), [first.sent[0]]);
});

test("a refused token is replaced once", async () => {
  const { client, sockets, states, settle, tokens, delays } = scene();
  client.connect();
  await settle();
  sockets[0].onclose({ code: 4401 });
  await settle();
  sockets[1].onclose({ code: 4401 });
  await settle();
  assert.equal(tokens(), 2);
  assert.deepEqual([sockets.length, delays(), states.at(-1)], [2, [], { state: "closed", code: 4401 }]);
});

test("a connection that is told how long to wait waits so long, and a message's refusal changes nothing", async () => {
  const { client, sockets, states, settle, delays, ring } = scene();
  client.connect();
  await settle();
  const refusal = { event_type: "error", error_code: "RATE_LIMIT_EXCEEDED", error_message: "Too many" };
  sockets[0].tell({ ...refusal, details: { retry_after: 30 } });
  sockets[0].onclose({ code: 4429 });
  assert.deepEqual(states.at(-1), { state: "waiting", code: 4429, delay: 31_000, retryAfter: 30 });
  await ring();
  sockets[1].greet();
  sockets[1].tell({ ...refusal, details: { retry_after: 60, client_message_id: "m" } });
  sockets[1].onclose({ code: 1006 });
  assert.deepEqual(delays(), [1000]);
});

test("a token that is refused for a while is asked for again after that", async () => {
  const getToken = () => Promise.reject(Object.assign(new Error("too many"), { retryAfter: 120 }));
  const { client, states, settle } = scene({ getToken });
  client.connect();
  await settle();
  assert.deepEqual(states.at(-1), { state: "waiting", code: 1006, delay: 121_000, retryAfter: 120 });
});

for (const code of [4403, 4404, 4410]) {
  test(`${code} is the end`, async () => {
    const { connected, sockets, states, settle, delays } = scene();
    (await connected()).onclose({ code });
    await settle();
    assert.deepEqual([sockets.length, delays(), states.at(-1)], [1, [], { state: "closed", code }]);
  });
}

test("a token that can not be had now is asked for again", async () => {
  const { client, sockets, states, settle, ring } = scene({
    getToken: async (count) => (count > 1 ? "token" : Promise.reject(new Error("the network is away"))),
  });
  client.connect();
  await settle();
  assert.equal(states.at(-1).state, "waiting");
  await ring();
  assert.equal(sockets.length, 1);
});

test("a token that can never be had is the end", async () => {
  const { client, states, settle } = scene({
    getToken: () => Promise.reject(Object.assign(new Error("forbidden"), { final: true })),
  });
  client.connect();
  await settle();
  assert.equal(states.at(-1).state, "closed");
});

test("a replay that is not complete goes on after its last message", async () => {
  const { client, sockets, settle } = scene();
  client.connect();
  await settle();
  sockets[0].tell(received(1, "one"));
  sockets[0].greet(false);
  await settle();
  assert.equal(sockets[0].closed, true);
  assert.equal(sockets[1].url.searchParams.get("after"), "1");
});

test("missing characters are fetched by connecting again", async () => {
  const { connected, sockets, ring } = scene();
  const first = await connected();
  first.tell(started("r", "q1"));
  first.tell(token("r", 5, "late"));
  assert.equal(first.closed, true);
  await ring();
  assert.equal(sockets.length, 2);
});

test("a server that answers no ping is lost", async () => {
  const { connected, sockets, states, ring } = scene();
  const first = await connected();
  await ring();
  assert.deepEqual(first.sent, [{ action: "ping" }]);
  await ring();
  assert.deepEqual([first.closed, states.at(-1).state], [true, "waiting"]);
  await ring();
  assert.equal(sockets.length, 2);
});

test("a server that answers pings is kept", async () => {
  const { connected, states, ring } = scene();
  const first = await connected();
  for (let round = 0; round < 3; round++) {
    await ring();
    first.tell({ event_type: "pong" });
  }
  assert.equal(first.sent.length, 3);
  assert.equal(states.at(-1).state, "open");
});

test("stop names the reply", async () => {
  const { client, connected } = scene();
  const first = await connected();
  client.stop("r");
  client.stop();
  assert.deepEqual(first.sent, [{ action: "stop", message_id: "r" }, { action: "stop" }]);
});

test("who leaves stays away", async () => {
  const { client, connected, sockets, settle, delays } = scene();
  const first = await connected();
  client.close();
  first.onclose({ code: 1006 });
  await settle();
  assert.deepEqual([sockets.length, delays(), client.state], [1, [], "closed"]);
});

test("who leaves while the token is fetched stays away", async () => {
  const { client, sockets, settle } = scene();
  client.connect();
  client.close();
  await settle();
  assert.equal(sockets.length, 0);
});

test("a message over the frame's bound is refused here, where the socket would die of it", async () => {
  const { client, connected } = scene();
  const first = await connected();
  assert.equal(client.send("x".repeat(1024 * 1024)).state, "refused");
  assert.deepEqual(first.sent, []);
});
