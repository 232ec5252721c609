// What does a message look like?
import { render } from "./markdown.js";

/** Show the message in its list item. `onRate(message, rating)` and `onEdit(message)` are what its buttons do. */
export function fill(item, message, { onRate, onEdit }) {
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
  // What is drawn again keeps the focus of whoever is in it.
  const focused = item.contains(document.activeElement) ? document.activeElement.value : null;
  item.replaceChildren(who, body, ...sources(message), ...note(message, onEdit), ...thumbs(message, onRate));
  if (focused) item.querySelector(`button[value="${focused}"]`)?.focus();
}

function sources({ state, metadata }) {
  if (state !== "done" || !metadata?.sources?.length) return [];
  const list = element("ul", "sources");
  list.setAttribute("aria-label", "Sources");
  for (const { title, url } of metadata.sources) {
    const item = element("li");
    item.dir = "auto";
    item.append(isWeb(url) ? link(title, url) : title);
    list.append(item);
  }
  return [list];
}

function link(title, url) {
  return Object.assign(element("a"), { textContent: title, href: url, target: "_blank", rel: "noopener noreferrer" });
}

function isWeb(url) {
  return URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol);
}

function note(message, onEdit) {
  const done = message.failed ? "This reply failed. Please ask again." : message.stopped ? "Stopped." : "";
  const words = { sending: "Sending…", refused: message.error, done }[message.state];
  if (!words) return [];
  const line = element("p", "note");
  line.textContent = words;
  if (message.state === "refused") {
    const again = element("button", "quiet");
    again.type = "button";
    again.textContent = "Edit and send again";
    again.addEventListener("click", () => onEdit(message));
    line.append(" ", again);
  }
  return [line];
}

/** Two buttons below a whole reply of the agent; the one that is pressed takes its rating back. */
function thumbs(message, onRate) {
  const ratable = message.role === "assistant" && message.state === "done" && message.author !== "human";
  if (!ratable || message.failed || !message.content) return [];
  const row = document.getElementById("thumbs").content.firstElementChild.cloneNode(true);
  for (const button of row.querySelectorAll("button")) {
    const pressed = message.rating === button.value;
    button.setAttribute("aria-pressed", pressed);
    button.addEventListener("click", () => onRate(message, pressed ? null : button.value));
  }
  return [row];
}

function element(name, className = "") {
  return Object.assign(document.createElement(name), { className });
}
