// Where does the page get its chat token? From this server, which knows the visitor by a cookie, or, where it is
// framed (widget.js), from the page around it.

/** The page at `/`. `again()` asks for a chat made anew. */
export function siteDoor() {
  let anew = false;
  return {
    again: () => (anew = true),
    async getToken() {
      const answer = await fetch(anew ? "chat?new" : "chat", {
        method: "POST",
        headers: { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content },
        credentials: "same-origin",
      });
      // Forbidden: the cookies or the page are gone; only loading it again would help.
      if (!answer.ok) throw refusal(`${answer.status}`, [403, 404].includes(answer.status), retryAfter(answer));
      anew = false;
      return (await answer.json()).token;
    },
  };
}

const PATIENCE_SECONDS = 30;

/**
 * The page in a frame. The address names the origin around it (`#https://shop.example.com`): nothing is said to any
 * other, and nothing is heard from one. Who may be around it at all is in the page's Content-Security-Policy.
 */
export function frameDoor({ onOpen }) {
  const host = decodeURIComponent(location.hash.slice(1));
  let waiting = null;
  const tell = (what) => window.parent.postMessage({ type: `lexicon:${what}` }, host);
  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== window.parent || origin !== host) return;
    if (data?.type === "lexicon:open") onOpen();
    if (data?.type === "lexicon:token") waiting?.resolve(data.token);
    if (data?.type === "lexicon:refused") waiting?.reject(refusal("refused", data.final));
  });
  return {
    tell,
    getToken: () =>
      new Promise((resolve, reject) => {
        if (window.parent === window || !host) throw refusal("not framed", true);
        waiting = { resolve, reject };
        setTimeout(reject, PATIENCE_SECONDS * 1000, refusal("no answer", false));
        tell("ask");
      }),
  };
}

function refusal(why, final, retryAfter) {
  return Object.assign(new Error(why), { final, retryAfter });
}

/** Seconds that a refusal asks for: too many people came from this address. */
function retryAfter(answer) {
  return answer.status === 429 ? Number(answer.headers.get("Retry-After")) || 60 : undefined;
}
