// What does the page show, and what do its buttons do?
import { LexiconClient } from "./lexicon-client.js";
import { render } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const [log, scroll, text, form] = [$("log"), $("scroll"), $("text"), $("form")];
const STATES = { connecting: "Connecting…", open: "Connected", waiting: "Reconnecting…", closed: "Not connected" };
const ASK = "I would like to talk to a person.";

/** A message's element. Messages keep their identity when they are acknowledged; their ids do not. */
const items = new Map();
const changed = new Set();
let client;
let anew = false;
/** What was said before the page was opened is not read aloud. */
let told = false;

async function getToken() {
  const answer = await fetch(anew ? "chat?new" : "chat", {
    method: "POST",
    headers: { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content },
    credentials: "same-origin",
  });
  // Forbidden: the cookies or the page are gone; only loading it again would help.
  if (!answer.ok) throw Object.assign(new Error(`${answer.status}`), { final: [403, 404].includes(answer.status) });
  anew = false;
  const { token, status } = await answer.json();
  client.transcript.status = status;
  showStatus();
  return token;
}

function start() {
  client?.close();
  log.replaceChildren();
  items.clear();
  changed.clear();
  told = false;
  client = new LexiconClient({
    url: new URL("ws/chat", location.href.replace(/^http/, "ws")),
    getToken,
    onChange: (message) => {
      changed.add(message);
      if (changed.size === 1) requestAnimationFrame(draw);
      if (told && message.state === "done" && message.role === "assistant") {
        $("told").textContent = `${message.authorName || "Assistant"}: ${message.content}`;
      }
    },
    onStatus: showStatus,
    onState: showState,
    onEvent: (event) => {
      if (event.event_type !== "error") return;
      if (event.error_code !== "AGENT_ERROR" && !event.details?.client_message_id) say(event.error_message);
    },
  });
  client.connect();
  draw();
}

function showState({ state, code }) {
  $("state").dataset.state = state;
  $("state").textContent = STATES[state];
  if (state === "open") {
    told = true;
    say("");
  }
  if (state === "closed" && code !== 1000) say("This chat can not go on. Load the page again.");
  showStop();
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
    if (changed.has(message)) fill(item, message);
  });
  changed.clear();
  $("welcome").hidden = ordered.length > 0;
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  showStop();
}

function fill(item, message) {
  const byPerson = message.author === "human";
  item.className = [
    message.role,
    message.state,
    message.failed && "failed",
    message.stopped && "stopped",
    byPerson && "person",
  ]
    .filter(Boolean)
    .join(" ");
  const who = element("span", message.role === "user" ? "who unseen" : "who");
  who.textContent = message.role === "user" ? "You" : byPerson ? message.authorName || "A person" : "Assistant";
  const body = element("div", "text");
  body.dir = "auto";
  if (message.role === "user") body.textContent = message.content;
  else body.append(render(message.content));
  item.replaceChildren(who, body, ...note(message));
}

function note(message) {
  const done = message.failed ? "This reply failed. Please ask again." : message.stopped ? "Stopped." : "";
  const words = { sending: "Sending…", refused: message.error, done }[message.state];
  if (!words) return [];
  const line = element("p", "note");
  line.textContent = words;
  if (message.state === "refused") {
    const again = element("button", "quiet");
    again.type = "button";
    again.textContent = "Edit and send again";
    again.addEventListener("click", () => {
      text.value = message.content;
      text.focus();
    });
    line.append(" ", again);
  }
  return [line];
}

function element(name, className) {
  return Object.assign(document.createElement(name), { className });
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
  if (event.key === "Escape" && !$("stop").hidden) client.stop(streaming()?.id);
});
$("stop").addEventListener("click", () => client.stop(streaming()?.id));
$("person").addEventListener("click", () => send(ASK));
$("new").addEventListener("click", () => {
  anew = true;
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
