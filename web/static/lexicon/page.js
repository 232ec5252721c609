// What does the page show, and what do its buttons do?
import { frameDoor, siteDoor } from "./door.js";
import { LexiconClient } from "./lexicon-client.js";
import { fill } from "./message.js";

const $ = (id) => document.getElementById(id);
const [log, scroll, text, form] = [$("log"), $("scroll"), $("text"), $("form")];
const STATES = { connecting: "Connecting…", open: "Connected", waiting: "Reconnecting…", closed: "Not connected" };
const ASK = "I would like to talk to a person.";
/** A wait that is told to the reader: shorter ones are those of any reconnect. */
const LONG_SECONDS = 5;

const framed = document.body.classList.contains("widget");
const door = framed ? frameDoor({ onOpen: () => text.focus() }) : siteDoor();
/** A message's element. Messages keep their identity when they are acknowledged; their ids do not. */
const items = new Map();
const changed = new Set();
/** Replies that need not be read aloud (again): they were, or were said before the page was opened. */
const heard = new Set();
let client;
let told = false;

function start() {
  client?.close();
  log.replaceChildren();
  items.clear();
  changed.clear();
  told = false;
  client = new LexiconClient({
    url: new URL(`${document.body.dataset.root}ws/chat`, location.href.replace(/^http/, "ws")),
    getToken: door.getToken,
    onChange: (message) => {
      changed.add(message);
      if (changed.size === 1) requestAnimationFrame(draw);
      if (message.state === "done" && message.role === "assistant") tell(message);
    },
    onStatus: showStatus,
    onState: showState,
    onEvent: (event) => {
      if (event.event_type !== "error") return;
      if (event.error_code !== "AGENT_ERROR" && !event.details?.client_message_id) say(event.error_message);
    },
  });
  client.connect();
  showStatus();
  draw();
}

function tell(message) {
  if (heard.has(message)) return;
  heard.add(message);
  if (!told) return;
  $("told").textContent = `${message.authorName || "Assistant"}: ${message.content}`;
  if (framed) door.tell("news");
}

function showState({ state, code, retryAfter }) {
  $("state").dataset.state = state;
  $("state").textContent = retryAfter > LONG_SECONDS ? "Waiting" : STATES[state];
  if (state === "open") {
    told = true;
    say("");
  }
  if (retryAfter > LONG_SECONDS) {
    say(`Too many people use this chat from your network. It goes on by itself ${soon(retryAfter)}.`);
  }
  if (state === "closed" && code !== 1000) say("This chat can not go on. Load the page again.");
  showStop();
}

/** When so many seconds are over: "in 2 minutes, at 14:05". */
function soon(seconds) {
  const minutes = Math.ceil(seconds / 60);
  const clock = new Date(Date.now() + seconds * 1000).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  return `in ${minutes} ${minutes === 1 ? "minute" : "minutes"}, at ${clock}`;
}

function showStatus() {
  const escalated = client.transcript.status === "escalated";
  if ($("handed").hidden === escalated) {
    $("handed").hidden = !escalated;
    if (escalated) $("told").textContent = $("handed").textContent;
    if (escalated) scroll.scrollTop = scroll.scrollHeight;
  }
  $("person").hidden = escalated;
}

function say(problem) {
  $("problem").textContent = problem;
}

function streaming() {
  return client.transcript.ordered().find((message) => message.state === "streaming");
}

function showStop() {
  const shown = client.state === "open" && Boolean(streaming());
  if (!shown && document.activeElement === $("stop")) text.focus();
  $("stop").hidden = !shown;
}

/** Bring the page in line with what changed, and stay at its end where the reader was there. */
function draw() {
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  const ordered = client.transcript.ordered();
  ordered.forEach((message, place) => {
    if (!items.has(message)) items.set(message, document.createElement("li"));
    const item = items.get(message);
    if (log.children[place] !== item) log.insertBefore(item, log.children[place] ?? null);
    if (changed.has(message)) fill(item, message, { onRate: rate, onEdit: edit });
  });
  changed.clear();
  $("welcome").hidden = ordered.length > 0;
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  showStop();
}

function rate(message, rating) {
  if (client.state === "open") client.rate(message.id, rating);
  else say("You are not connected. Try again in a moment.");
}

function edit(message) {
  text.value = message.content;
  text.focus();
}

function send(content) {
  if (!content.trim() || client.state === "closed") return;
  say("");
  client.send(content);
  draw();
  scroll.scrollTop = scroll.scrollHeight;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const content = text.value;
  if (client.state !== "closed") text.value = "";
  send(content);
  text.focus();
});
text.addEventListener("keydown", (event) => {
  // Enter while a word is being composed (Japanese, Chinese, …) belongs to the keyboard.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (!$("stop").hidden) client.stop(streaming()?.id);
  else if (framed) door.tell("close");
});
$("stop").addEventListener("click", () => client.stop(streaming()?.id));
$("person").addEventListener("click", () => send(ASK));
$("close")?.addEventListener("click", () => door.tell("close"));
$("new")?.addEventListener("click", () => {
  door.again();
  start();
  text.focus();
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    send(example.textContent);
    text.focus();
  });
}
window.addEventListener("online", () => client.retryNow());
start();
