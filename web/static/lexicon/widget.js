// How does a chat come into any page? One tag, on a page of an origin that the tenant allows:
//
//   <script src="https://chat.example.com/widget.js" data-tenant="<tenant id>" data-token-url="/chat-token" defer></script>
//
// A button opens the chat in a frame. `data-token-url` is the site's own: a POST with its cookies answers {token}.
// `data-label` is what the button says. All that the page gets is one element, whose styles nobody shares, and the
// global LexiconWidget: open(), close(), and getToken, which the page may bring or replace (an error that it throws
// with `final: true` ends the chat).
(() => {
  "use strict";
  const script = document.currentScript;
  const { tenant, tokenUrl, label = "Chat with us" } = script.dataset;
  const widget = (window.LexiconWidget ??= {});
  if (widget.open) return; // The page has the tag twice.
  if (!tenant) throw new Error("widget.js needs data-tenant, the id of the tenant");

  const address = new URL(`widget/${encodeURIComponent(tenant)}`, script.src);
  const PATIENCE_SECONDS = 20;
  const STYLES = `
    :host { all: initial !important; color-scheme: inherit !important; }
    [hidden] { display: none !important; }
    button, iframe { position: fixed; z-index: 2147483647; inset-block-end: 20px; inset-inline-end: 20px; }
    button {
      min-height: 48px; max-width: calc(100vw - 40px); padding: 0 20px; border: 0; border-radius: 24px;
      background: #2f5d50; color: #fff; font: 600 16px/1.4 system-ui, sans-serif; cursor: pointer;
      box-shadow: 0 4px 16px rgb(0 0 0 / 25%);
    }
    button:hover { background: #264b41; }
    button:focus-visible { outline: 3px solid #fff; box-shadow: 0 0 0 6px #2f5d50; }
    button[aria-busy="true"] { opacity: 0.75; cursor: progress; }
    .news::after {
      display: inline-block; width: 10px; height: 10px; margin-inline-start: 10px; border-radius: 50%;
      background: #ffd479; content: "";
    }
    iframe {
      box-sizing: border-box; width: 400px; max-width: calc(100vw - 40px); height: 640px;
      max-height: calc(100vh - 40px); border: 1px solid rgb(128 128 128 / 35%); border-radius: 16px;
      box-shadow: 0 8px 40px rgb(0 0 0 / 30%);
    }
    @media (max-width: 480px) {
      iframe { inset: 0; width: 100%; max-width: none; height: 100vh; height: 100dvh; max-height: none;
        border: 0; border-radius: 0; }
    }
  `;

  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const styles = new CSSStyleSheet(); // Needs no permission of the page's Content-Security-Policy.
  styles.replaceSync(STYLES);
  root.adoptedStyleSheets = [styles];
  const button = document.createElement("button");
  button.type = "button";
  root.append(button);
  let frame = null;
  let patience = null;
  show(false);

  function show(open) {
    if (frame) frame.hidden = !open;
    button.hidden = open;
    button.textContent = label;
    button.className = "";
    button.setAttribute("aria-expanded", open);
    button.setAttribute("aria-busy", false);
    clearTimeout(patience);
  }

  function load() {
    frame = document.createElement("iframe");
    frame.title = label;
    frame.hidden = true;
    frame.src = `${address}#${encodeURIComponent(location.origin)}`;
    button.setAttribute("aria-busy", true);
    // It is shown once it speaks: what does not load, or may not be framed here, is in nobody's way.
    patience = setTimeout(() => {
      frame.remove();
      frame = null;
      show(false);
      button.textContent = "The chat is not available. Try again";
    }, PATIENCE_SECONDS * 1000);
    root.append(frame);
  }

  function say(message) {
    frame?.contentWindow.postMessage(message, address.origin);
  }

  function focus() {
    frame.focus();
    say({ type: "lexicon:open" });
  }

  widget.open = () => {
    if (!frame) return load();
    if (button.getAttribute("aria-busy") === "true") return;
    show(true);
    focus();
  };
  widget.close = () => {
    if (!frame || frame.hidden) return;
    show(false);
    button.focus();
  };
  widget.getToken ??= async () => {
    if (!tokenUrl) throw final("widget.js needs data-token-url, or LexiconWidget.getToken");
    const answer = await fetch(tokenUrl, { method: "POST", credentials: "include" });
    // Nobody is logged in, or this user may not: to ask again would not help.
    if ([401, 403, 404].includes(answer.status)) throw final(`${tokenUrl} answered ${answer.status}`);
    if (!answer.ok) throw new Error(`${tokenUrl} answered ${answer.status}`);
    return (await answer.json()).token;
  };

  function final(why) {
    return Object.assign(new Error(why), { final: true });
  }

  async function give() {
    try {
      say({ type: "lexicon:token", token: await widget.getToken() });
    } catch (error) {
      say({ type: "lexicon:refused", final: Boolean(error?.final) });
    }
  }

  button.addEventListener("click", widget.open);
  window.addEventListener("message", ({ source, origin, data }) => {
    if (!frame || source !== frame.contentWindow || origin !== address.origin) return;
    if (data?.type === "lexicon:ask") {
      give();
      if (button.getAttribute("aria-busy") === "true") {
        show(true);
        focus();
      }
    }
    if (data?.type === "lexicon:close") widget.close();
    if (data?.type === "lexicon:news" && frame.hidden) {
      button.className = "news";
      button.textContent = `${label}: new message`;
    }
  });
  const begin = () => document.body.append(host);
  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
