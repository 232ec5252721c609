// How does a reply's Markdown become harmless HTML?
//
// Two walls: HTML in the text is shown as text, and what marked makes of the rest passes DOMPurify's list.
// Images are links to themselves, so nothing is loaded from anywhere.
import DOMPurify from "./vendor/dompurify-3.4.18.js";
import { marked } from "./markdown-parser.js";

const ALLOWED = {
  ALLOWED_TAGS: (
    "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre strong table tbody td th thead tr ul"
  ).split(" "),
  ALLOWED_ATTR: ["href", "rel", "start", "target", "title"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  RETURN_DOM_FRAGMENT: true,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  // A list or quotation has one direction, which is judged by its text; parts that judged for themselves would not count.
  const within = node.parentElement?.closest("ul, ol, blockquote");
  if (!within && /^(P|H[1-6]|BLOCKQUOTE|TD|TH|UL|OL)$/.test(node.nodeName)) node.setAttribute("dir", "auto");
});

/** A fragment that shows the Markdown `text`. */
export function render(text) {
  return DOMPurify.sanitize(marked.parse(text), ALLOWED);
}
